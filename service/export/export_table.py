"""The result of an export as a table for the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from service.export.card_file import metric_in, quality_in

if TYPE_CHECKING:
    from service.export.export_members import Exported


def table(exported: "Sequence[Exported]", formats: Sequence[str]) -> Table:
    """Return a table with one row per file: its size, and how it compares with the network."""
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
    weights = str(quality_in(entry.card).get("weights", "-"))
    if name in entry.failed:
        return weights, name, "-", "-", "failed"
    record = entry.card["formats"][name]
    state = "there already" if name in entry.there else "made"
    return weights, record["file"], f"{record['bytes'] / 1e3:.1f}", compared(record, *metric_in(entry.card)), state


def compared(record: Mapping[str, Any], metric: str, unit: str) -> str:
    """Return how a file compares: the largest difference of its output, or what the metric became on each split."""
    if record.get(metric):
        changes = ((split, *judged.values()) for split, judged in record[metric].items())
        return ", ".join(f"{split} {before:.2f} → {after:.2f} {unit}".rstrip() for split, before, after in changes)
    difference = record.get("relative_difference")
    return "-" if difference is None else f"output differs by {difference:.0e} of the largest"
