"""What came of an export, as a table for the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from service.export.export_members import Exported


def table(exported: "Sequence[Exported]", formats: Sequence[str]) -> Table:
    """One row a file: how large it is, and how it compares with the network."""
    made = Table(title="Exported", title_justify="left")
    for column in ("key", "weights", "file"):
        made.add_column(column, style="bold" if column == "key" else None, no_wrap=True)
    made.add_column("kB", justify="right", no_wrap=True)
    made.add_column("compared with the network", no_wrap=True)
    made.add_column("", no_wrap=True)
    for entry in exported:
        for name in formats:
            made.add_row(entry.key, *_cells(entry, name))
    return made


def _cells(entry: "Exported", name: str) -> tuple[str, ...]:
    weights = str((entry.card.get("accuracy") or {}).get("weights", "-"))
    if name in entry.failed:
        return weights, name, "-", "-", "failed"
    record = entry.card["formats"][name]
    state = "there already" if name in entry.there else "made"
    return weights, record["file"], f"{record['bytes'] / 1e3:.1f}", compared(record), state


def compared(record: Mapping[str, Any]) -> str:
    """How a file compares, in a few words: the largest difference of its logits, or what its accuracy became."""
    if record.get("accuracy"):
        changes = (f"{s} {a['before_percent']:.2f} → {a['after_percent']:.2f} %" for s, a in record["accuracy"].items())
        return ", ".join(changes)
    difference = record.get("relative_difference")
    return "-" if difference is None else f"logits differ by {difference:.0e} of the largest"
