"""The outcomes of a network for each example of a split, and what a task reads from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Outcomes:
    """One row for each example of a split, in the order of the split.

    Args:
        scores: Contribution of each example to the metric, float64 [N]: `scores.mean()` is the metric of the task, in
            its unit. For the accuracy of a classification they are 100 and 0. Two networks are compared by the
            differences of their scores on the same examples.
        columns: Further values of each example, arrays [N, ...] by name; only the task knows their meaning.
    """

    scores: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scores.ndim != 1 or not len(self.scores):
            raise ValueError(f"scores must be one number for each of at least one example, got {self.scores.shape}")
        if "scores" in self.columns:
            raise ValueError("no column may be called 'scores'")
        for name, column in self.columns.items():
            if column.dtype.hasobject:
                raise ValueError(f"column {name!r} must hold numbers or text, got {column.dtype}")
            if len(column) != len(self.scores):
                raise ValueError(f"column {name!r} must have {len(self.scores)} rows, got {len(column)}")


class Table(NamedTuple):
    """Rows of a table that a task gives to reports.

    Attributes:
        columns: Name of each column.
        rows: Text and numbers, one value for each column.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]


class Matrix(NamedTuple):
    """The number of examples of one group (row) that were taken for another (column).

    Attributes:
        labels: Names of rows and columns.
        counts: Number of examples, one list for each row.
    """

    labels: Sequence[str]
    counts: Sequence[Sequence[int]]


class Mistake(NamedTuple):
    """An example on which a network went wrong.

    Attributes:
        example: Its place in the split.
        text: What was wrong, in a few words.
    """

    example: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """The outcomes of one network in numbers, tables and a matrix that reports show without knowing the task.

    Args:
        numbers: Name -> value and unit.
        groups: Name of a quantity -> its value for each group, in the unit of the metric.
        grouped_by: What the groups are, such as "class".
        tables: Title -> table.
        matrix: None where there is none, or where it is too large to look at.
    """

    numbers: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    grouped_by: str = "group"
    tables: Mapping[str, Table] = field(default_factory=dict)
    matrix: Matrix | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the breakdown as JSON has it."""
        return {
            "numbers": {name: list(number) for name, number in self.numbers.items()},
            "groups": {name: dict(values) for name, values in self.groups.items()},
            "grouped_by": self.grouped_by,
            "tables": {title: table._asdict() for title, table in self.tables.items()},
            "matrix": None if self.matrix is None else self.matrix._asdict(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Breakdown:
        """Return the breakdown that `to_json` gave."""
        matrix = content.get("matrix")
        return cls(
            numbers={name: (float(value), str(unit)) for name, (value, unit) in content["numbers"].items()},
            groups=content.get("groups", {}),
            grouped_by=content.get("grouped_by", "group"),
            tables={title: Table(**table) for title, table in content["tables"].items()},
            matrix=None if matrix is None else Matrix(**matrix),
        )
