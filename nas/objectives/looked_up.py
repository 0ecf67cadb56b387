"""Objectives that are known beforehand: any column of a table, or a predictor taken at its word.

They are for benchmarks of searchers. For real searches, `nas.objectives.tabular` has the accuracy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nas.objectives.objective import Computed, Objective, Role
from nas.predictors import Predictor
from search_spaces import Architecture, Choice, Space
from supernets.estimate import Estimate

IN_TABLE = "in_table"


class EncodedRows:
    """Rows of a table by the canonical encodings [N, D] of their architectures, which are distinct."""

    def __init__(self, encodings: np.ndarray) -> None:
        packed = _packed(encodings)
        self._order = np.argsort(packed, kind="stable")
        self._sorted = packed[self._order]

    def find(self, encodings: np.ndarray) -> np.ndarray:
        """Return the row [M] of each canonical encoding [M, D], -1 where the table has none."""
        packed = _packed(encodings)
        places = np.minimum(np.searchsorted(self._sorted, packed), len(self._sorted) - 1)
        return np.where(self._sorted[places] == packed, self._order[places], -1)


def _packed(encodings: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(encodings, dtype=">u2")
    return rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).reshape(-1)


@dataclass(frozen=True, kw_only=True)
class TableSpace(Space):
    """A space in which draws and mutations are architectures of a table; it has the same members otherwise.

    Attributes:
        drawn: Their canonical encodings [N, D].
    """

    drawn: np.ndarray

    @cached_property
    def rows(self) -> EncodedRows:
        """Where each architecture stands."""
        return EncodedRows(self.drawn)

    def members(self) -> np.ndarray:
        return self.drawn

    def sample_encodings(self, n: int, generator: np.random.Generator) -> np.ndarray:
        return self.drawn[generator.integers(len(self.drawn), size=n)]

    def _member(self, values: Mapping[str, Choice]) -> Architecture | None:
        member = super()._member(values)
        return None if member is None or self.rows.find(self.encode(member)[None])[0] < 0 else member


class InTable(Computed):
    """An objective that is 1 if a table has an architecture, and 0 otherwise, without evaluating anything."""

    name, unit, maximise = IN_TABLE, "", True
    role: Role = "cost"
    low, high = 0.0, 1.0

    def __init__(self, space: TableSpace) -> None:
        self.space = space

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return Estimate(float(self.evaluate_encodings(self.space.encode(architecture)[None])[0]))

    def evaluate_encodings(self, encodings: np.ndarray) -> np.ndarray:
        """Return zeros and ones [N] of encodings [N, D]."""
        return (self.space.rows.find(self.space.canonical(encodings)) >= 0).astype(float)


class Column(Objective):
    """A column of a table as an objective.

    Args:
        name: Name in records.
        maximise: Whether more is better.
        space: Space of the table.
        values: Values of the column, in the order of the rows of the space.

    A column that is maximised counts as a quality.
    """

    unit = ""

    def __init__(self, name: str, maximise: bool, space: TableSpace, values: np.ndarray) -> None:
        self.name, self.maximise, self.space, self.values = name, maximise, space, values
        self.role = "quality" if maximise else "cost"

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        row = int(self.space.rows.find(self.space.encode(architecture)[None])[0])
        if row < 0:
            raise LookupError(f"the table has no architecture {dict(architecture)}")
        return Estimate(float(self.values[row]))


class PredictedColumn(Objective):
    """The prediction of a fitted predictor, which counts as the truth of an oracle."""

    unit = ""

    def __init__(self, name: str, maximise: bool, space: Space, predictor: Predictor) -> None:
        self.name, self.maximise = name, maximise
        self.role = "quality" if maximise else "cost"
        self.space, self.predictor = space, predictor

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        features = self.space.features(self.space.encode(architecture)[None])
        return Estimate(float(self.predictor.predict(features).mean[0]))
