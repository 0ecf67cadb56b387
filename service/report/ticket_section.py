"""What a training that removes channels and weights has left: its ticket, with dense and sparse costs apart."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.job.folder import read_json
from service.report.figures import COLOURS, png
from service.report.fronts import Front
from service.report.markup import table, text

TICKET_FILE = "ticket.json"
_MEANING = (
    "The largest network was trained, and lost channels, paths and single weights meanwhile. Dense costs count every "
    "weight of the channels that are left; sparse costs count the weights that are not masked, which are exactly 0. "
    "Latency is that of the dense network: runtimes compute with zeros as with other numbers."
)
_COLUMNS = {
    "epoch": "epoch",
    "channels": "channels",
    "removed_channels": "removed",
    "sparsity": "sparsity (%)",
    "returned": "weights that returned",
    "dense_macs": "MACs (dense)",
    "sparse_macs": "MACs (sparse)",
    "dense_params": "parameters (dense)",
    "sparse_params": "parameters (sparse)",
}
_RETURNED = ("returned_weights", "reactivated_by_removal", "reactivated_by_reset")


def ticket_lines(folder: Path) -> list[str]:
    """Return the ticket of a job in plain lines; none where it has none."""
    last = (_history(folder) or [{}])[-1]
    if not last:
        return []
    back = sum(_returned(record) for record in _history(folder))
    masked = f"{100 * last['sparsity']:.2f} % of {last['weights']:,} weights masked, {back:,} returned meanwhile"
    return [
        f"{'ticket:':<14} {last['channels']:,} channels in {last['paths']} paths, {masked}",
        *(
            f"{f'  {kind}:':<14} {last[f'{kind}_macs']:,} MACs, {last[f'{kind}_params']:,} parameters"
            for kind in ("dense", "sparse")
        ),
    ]


def ticket_sections(fronts: Sequence[Front]) -> Iterator[str]:
    """Yield what is left of the networks of jobs with tickets: costs over the training, channels of each path."""
    for front in fronts:
        ticket = read_json(front.folder / TICKET_FILE)
        if not ticket or not ticket.get("history"):
            continue
        of = f" of {text(front.name)}" if len(fronts) > 1 else ""
        yield f"<h2>The ticket{of}</h2><p>{_MEANING}</p>"
        rows = [[_cell(record, name) for name in _COLUMNS] for record in ticket["history"]]
        yield table(list(_COLUMNS.values()), rows)
        yield "<h3>Channels of each path</h3>"
        yield table(*_channels(ticket["architecture"]))


def ticket_png(title: str, folder: Path) -> bytes | None:
    """Return sparsity, costs and returned weights over the epochs as a PNG image; None where there is no ticket.

    Args:
        title: Title of the job.
        folder: Folder of the job.
    """
    history = _history(folder)
    if not history:
        return None
    epochs = [record["epoch"] for record in history]
    panels: dict[str, dict[str, list[float]]] = {
        "masked weights (%)": {"sparsity": [100 * record["sparsity"] for record in history]},
        "MACs": {kind: [record[f"{kind}_macs"] for record in history] for kind in ("dense", "sparse")},
        "weights that returned": {"returned": [_returned(record) for record in history]},
    }

    def draw(axes: Sequence[Any]) -> None:
        from matplotlib.ticker import MaxNLocator

        for panel, (label, curves) in zip(axes, panels.items()):
            for colour, (name, values) in zip(COLOURS, curves.items()):
                panel.plot(epochs, values, marker=".", linewidth=1.6, color=colour, label=name)
            panel.set(xlabel="epoch", ylabel=label)
            panel.set_ylim(bottom=0)
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            if len(curves) > 1:
                panel.legend(fontsize=9, frameon=False)
        axes[0].set_title(f"{title}: ticket", loc="left", fontsize=13, pad=12)

    return png(draw, panels=len(panels))


def _history(folder: Path) -> list[Mapping[str, Any]]:
    return list((read_json(folder / TICKET_FILE) or {}).get("history", []))


def _returned(record: Mapping[str, Any]) -> int:
    """Return how many weights came back, for any reason."""
    return sum(int(record.get(name, 0)) for name in _RETURNED)


def _cell(record: Mapping[str, Any], name: str) -> str:
    if name == "returned":
        return f"{_returned(record):,}"
    if name == "sparsity":
        return f"{100 * record[name]:.2f}"
    return f"{record.get(name, 0):,g}" if name == "epoch" else f"{record.get(name, 0):,}"


def _channels(architecture: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table of the channels of all paths, one row a block."""
    blocks: dict[str, dict[str, str]] = {}
    for name, value in architecture.items():
        block, _, path = name.rpartition(".")
        if not _is_path(name, architecture):
            blocks.setdefault(name, {})
        else:
            blocks.setdefault(block, {})[path] = f"{value}"
    paths = list(dict.fromkeys(path for of in blocks.values() for path in of))
    return ["block", *paths], [[block, *(of.get(path, "0") for path in paths)] for block, of in blocks.items()]


def _is_path(name: str, architecture: Mapping[str, Any]) -> bool:
    """Return whether a decision says the channels of a path of a block that is there."""
    return name.rpartition(".")[0] in architecture
