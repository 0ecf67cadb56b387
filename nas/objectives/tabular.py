"""Accuracy as a published table knows it.

A search on a column of the test split is a benchmark of searchers, not a search: the images that choose a network are
those that it is reported on. It must therefore be allowed explicitly.
"""

from collections.abc import Sequence

import numpy as np

from nas.benchmarks.provenance import SEED_COLUMNS, Provenance
from nas.benchmarks.published_tables import Table
from nas.objectives.objective import Objective, Role
from nas.student_interval import student_half
from search_spaces import Architecture
from supernets.estimate import Estimate

_ROUNDING_PERCENT = 0.01  # tables round means


class Tabular(Objective):
    """Accuracy in percent, looked up.

    An architecture that is not in the table is a failed candidate.

    Args:
        table: Read by `Table.read`.
        column: Column of the accuracy.
        provenance: How it was obtained; for columns of published tables this is known.
        seeds: Columns of the single trainings that `column` is the mean of, for an interval; for columns of published
            tables these are known.
        allow_test: Whether a column of the test split may be used, which makes it a benchmark instead of a search.

    Raises:
        ValueError: The column cannot be read, is of the test split, or is not the mean of `seeds`.
    """

    name, unit, maximise = "accuracy", "%", True
    role: Role = "quality"
    low, high = 0.0, 100.0

    def __init__(
        self,
        table: Table,
        column: str,
        *,
        provenance: Provenance | None = None,
        seeds: Sequence[str] | None = None,
        allow_test: bool = False,
    ) -> None:
        self.table = table
        self.accuracies = table.accuracies(column, provenance)
        self.provenance = self.accuracies.provenance
        if self.provenance.split == "test" and not allow_test:
            raise ValueError(
                f"{column!r} is of the test split, which no search may see; take a validation column, or allow_test "
                "for a benchmark of searchers"
            )
        if seeds is None:
            known = SEED_COLUMNS.get((table.space.name, column), ())
            seeds = known if set(known) <= set(table.cells) else ()
        self._margin = self._half_intervals(seeds) if seeds else None

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        try:
            value = self.accuracies.percent[architecture]
        except KeyError:
            raise LookupError(f"{self.table.path} has no architecture {dict(architecture)}") from None
        if self._margin is None:
            return Estimate(value)
        margin = float(self._margin[self.table.row_of[architecture]])
        return Estimate(value, value - margin, value + margin)

    def _half_intervals(self, seeds: Sequence[str]) -> np.ndarray:
        """Return half the width [N] of Student's 95% interval of the mean over seeds."""
        column = self.accuracies.column
        if len(seeds) < 2:
            raise ValueError(f"an interval needs at least two columns of seeds, got {', '.join(seeds)}")
        single = np.stack([self.table.numbers(seed) for seed in seeds]) * self.provenance.percent
        off = np.abs(single.mean(axis=0) - self.table.numbers(column) * self.provenance.percent)
        row = int(np.argmax(off))
        if off[row] > _ROUNDING_PERCENT:
            raise ValueError(
                f"{self.table.path}, line {self.table.lines[row]}: {column} is not the mean of {', '.join(seeds)}"
            )
        return student_half(single)
