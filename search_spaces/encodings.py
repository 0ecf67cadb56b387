"""Architectures as rows of choice indices, which searchers and predictors work on."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture

_FOLDED_ROWS_KEPT = 1 << 16


class FoldedRow(NamedTuple):
    """Canonical choice indices [D] of one encoding, which decisions are active [D], and why it is no member, if so."""

    encoding: np.ndarray
    active: np.ndarray
    error: InvalidArchitecture | None


class Encodings:
    """Between architectures of a space and their encodings [D], one index of a choice for each decision.

    Args:
        name: Name of the space, for messages.
        decisions: Decisions of the space.
        architecture: Makes an architecture of values of decisions, or refuses them.
        folds: Whether only whole architectures tell what is active and what is a member.
    """

    def __init__(
        self,
        name: str,
        decisions: Sequence[Decision],
        architecture: Callable[[Mapping[str, Choice]], Architecture],
        *,
        folds: bool,
    ) -> None:
        self.name, self.decisions, self.architecture, self.folds = name, decisions, architecture, folds
        self.choice_counts = np.array([len(decision.choices) for decision in decisions], dtype=np.int64)

    def indices(self, architecture: Architecture) -> np.ndarray:
        """Return choice indices [D] of a member; 0 where a decision is inactive."""
        return np.array(
            [d.choices.index(architecture[d.name]) if d.name in architecture else 0 for d in self.decisions],
            dtype=np.int64,
        )

    def decode(self, encoding: Sequence[int] | np.ndarray) -> Architecture:
        """Return the architecture of choice indices [D]; indices of inactive decisions are ignored."""
        if len(encoding) != len(self.decisions):
            raise InvalidArchitecture(
                f"an encoding of {self.name!r} has {len(self.decisions)} entries, got {len(encoding)}"
            )
        values: dict[str, Choice] = {}
        for decision, index in zip(self.decisions, encoding):
            if not 0 <= index < len(decision.choices):
                raise InvalidArchitecture(
                    f"{decision.name}: index {index} is outside 0..{len(decision.choices) - 1} for {decision.choices}"
                )
            values[decision.name] = decision.choices[int(index)]
        return self.architecture(values)

    def valid(self, encodings: np.ndarray) -> np.ndarray:
        """Return whether encodings [N, D] are members, as booleans [N]."""
        inside = np.all((encodings >= 0) & (encodings < self.choice_counts), axis=1)
        if self.folds:
            inside[inside] = [self.folded(row).error is None for row in encodings[inside]]
        return inside

    def active(self, encodings: np.ndarray) -> np.ndarray:
        """Return which decisions are active in encodings [N, D], as booleans [N, D]."""
        if self.folds:
            return np.array([self.folded(row).active for row in encodings], dtype=bool).reshape(encodings.shape)
        active = np.ones(encodings.shape, dtype=bool)
        for column, (parent, allowed) in self.parents.items():
            active[:, column] = active[:, parent] & allowed[encodings[:, parent]]
        return active

    def canonical(self, encodings: np.ndarray) -> np.ndarray:
        """Return encodings [N, D], folded, with 0 where inactive."""
        if self.folds:
            return np.array([self.folded(row).encoding for row in encodings], dtype=np.int64).reshape(encodings.shape)
        return np.where(self.active(encodings), encodings, 0)

    def members(self, encodings: np.ndarray) -> np.ndarray:
        """Return encodings [N, D] of which columns can be read: folded, where the space folds.

        Raises:
            InvalidArchitecture: One of them is no member.
        """
        if not self.folds:
            return encodings
        rows = [self.folded(row) for row in encodings]
        if error := next((row.error for row in rows if row.error is not None), None):
            raise error
        return np.array([row.encoding for row in rows], dtype=np.int64).reshape(encodings.shape)

    def features(self, encodings: np.ndarray) -> np.ndarray:
        """Return one-hot features [N, total number of choices]; all zero where a decision is inactive."""
        offsets = np.concatenate([[0], np.cumsum(self.choice_counts)])
        features = np.zeros((len(encodings), offsets[-1]), dtype=np.float32)
        rows, columns = np.nonzero(self.active(encodings))
        if self.folds:
            encodings = self.canonical(encodings)
        features[rows, offsets[columns] + encodings[rows, columns]] = 1.0
        return features

    def columns(self, encodings: np.ndarray) -> dict[str, np.ndarray]:
        """Return the values [N] of every decision."""
        return {d.name: np.array(d.choices)[encodings[:, i]] for i, d in enumerate(self.decisions)}

    # ---- derived once -----------------------------------------------------------------------------------------------

    def folded(self, encoding: np.ndarray) -> FoldedRow:
        """Return what folding makes of one encoding [D]."""
        return self._folded_of_bytes(np.asarray(encoding, dtype=np.int64).tobytes())

    @cached_property
    def _folded_of_bytes(self) -> Callable[[bytes], FoldedRow]:
        """Folding is a graph problem for some spaces, and a search asks for the same rows again and again."""

        def folded(row: bytes) -> FoldedRow:
            encoding = np.frombuffer(row, dtype=np.int64)
            try:
                architecture = self.decode(encoding)
            except InvalidArchitecture as error:
                return FoldedRow(encoding, np.ones(len(encoding), dtype=bool), error)
            active = np.array([d.name in architecture for d in self.decisions])
            return FoldedRow(self.indices(architecture), active, None)

        return lru_cache(_FOLDED_ROWS_KEPT)(folded)

    @cached_property
    def parents(self) -> dict[int, tuple[int, np.ndarray]]:
        """Column of every conditional decision -> column of its parent, parent choices (as booleans) that activate."""
        column = {decision.name: i for i, decision in enumerate(self.decisions)}
        parents: dict[int, tuple[int, np.ndarray]] = {}
        for decision in self.decisions:
            if decision.parent is not None:
                choices = self.decisions[column[decision.parent]].choices
                allowed = np.array([choice in decision.active_when for choice in choices])
                parents[column[decision.name]] = (column[decision.parent], allowed)
        return parents


def indices_of(column: np.ndarray, choices: Sequence[Choice]) -> np.ndarray:
    """Return the index [N] among choices of every value [N]; 0 for a value that is none of them."""
    values, found = np.asarray(column), np.zeros(len(column), dtype=np.int64)
    for index, choice in enumerate(np.array(choices)):
        found[values == choice] = index
    return found
