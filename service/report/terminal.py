"""Tables for the terminal: their common form, and the results of fine-tuning."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table


def retrain_table(rows: Sequence[dict[str, Any]], unit: str, *, maximise: bool = True, scratch: bool = False) -> Table:
    """Return a table of the records of `Retrain` or `Scratch`.

    Args:
        rows: One row per member.
        unit: Unit of the quality, for the title.
        maximise: Whether more of it is better; a gain is above zero where it became better.
        scratch: Whether they began with fresh weights, in networks of their own sizes.
    """
    judged = f"validation {unit}".rstrip()
    title = (
        f"Trained alone from fresh weights ({judged})" if scratch else f"Fine-tuned from inherited weights ({judged})"
    )
    made, sizes = ("from scratch", ("M weights",)) if scratch else ("fine-tuned", ())
    table = numbers_table(title, "key", "epochs", "inherited", made, "gain", *sizes)
    form = ".2f" if unit == "%" else ".4g"
    sign = 1 if maximise else -1
    for row in rows:
        before, after = row["inherited_quality"], row["retrained_quality"]
        gain = ("-", "-") if before is None else (f"{before:{form}}", f"{(after - before) * sign:+{form}}")
        weights = [f"{row['costs']['params'] / 1e6:.2f}"] if scratch else []
        table.add_row(str(row["key"]), f"{row['epochs']:g}", gain[0], f"{after:{form}}", gain[1], *weights)
    return table


def numbers_table(title: str, name: str, *numbers: str) -> Table:
    """Return an empty table with a column of names and columns of numbers."""
    table = Table(title=title, title_justify="left")
    table.add_column(name, style="bold", no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    return table
