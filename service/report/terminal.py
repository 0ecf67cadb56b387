"""Tables for the terminal: the form that all of them share, and what fine-tuning came to."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table


def retrain_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Rows of `Retrain.records`."""
    table = numbers_table(
        "Fine-tuned from inherited weights (validation %)", "key", "epochs", "inherited", "fine-tuned", "gain"
    )
    for row in rows:
        before, after = row["inherited_quality"], row["retrained_quality"]
        gain = ("-", "-") if before is None else (f"{before:.2f}", f"{after - before:+.2f}")
        table.add_row(str(row["key"]), f"{row['epochs']:g}", gain[0], f"{after:.2f}", gain[1])
    return table


def numbers_table(title: str, name: str, *numbers: str) -> Table:
    """An empty table with a column of names and columns of numbers."""
    table = Table(title=title, title_justify="left")
    table.add_column(name, style="bold", no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    return table
