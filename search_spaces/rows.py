"""Architectures in rows of tables."""

import json
from collections.abc import Callable, Mapping

from search_spaces.architecture import Choice


def values_of_row(
    row: Mapping[str, str],
    formats: Mapping[tuple[str, ...], Callable[..., Mapping[str, Choice]]],
    space: str,
) -> Mapping[str, Choice]:
    """Return the decisions that a row names, in the first format whose columns it has, or as JSON in `architecture`.

    Args:
        row: Values by column.
        formats: Columns -> function of their values that gives the decisions.
        space: Name of the space, for messages.

    Raises:
        ValueError: The row has none of the columns needed, or they cannot be read.
    """
    for columns, parse in formats.items():
        if all(row.get(column) is not None for column in columns):
            return parse(*(row[column] for column in columns))
    if row.get("architecture") is None:
        needed = " or ".join(", ".join(columns) for columns in [*formats, ("architecture",)])
        raise ValueError(f"space {space!r} needs the columns {needed}; there are {', '.join(row)}")
    try:
        values = json.loads(row["architecture"])
    except json.JSONDecodeError as error:
        raise ValueError(f"architecture = {row['architecture']!r} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"architecture = {row['architecture']!r} must be a JSON object of decision and value")
    return values
