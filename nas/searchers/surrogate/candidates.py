"""Members of a space that may be proposed: within the exactly known limits, and not proposed before."""

from collections.abc import Callable, Collection

import numpy as np

from nas.searchers.new_architectures import key
from search_spaces import InvalidArchitecture, Space
from search_spaces.listing import can_be_listed, listed

_DRAWS = 16  # random candidates for each wanted one, before those that break limits are moved
_MOVES = 64  # rounds of moving them, or of looking for further ones

Violation = Callable[[np.ndarray], np.ndarray]


class Candidates:
    """A source of encodings, drawn or bred, canonical and distinct.

    Args:
        space: Space to search.
        violation: Exact violations [N] of encodings [N, D].
    """

    def __init__(self, space: Space, violation: Violation) -> None:
        self.space, self.violation = space, violation
        self.is_listed = can_be_listed(space)
        self._all: np.ndarray | None = None

    def all(self) -> np.ndarray:
        """Return every feasible member of a small space, once each [M, D]."""
        if self._all is None:
            self._all = self._feasible(listed(self.space))
        return self._all

    def random(self, n: int, generator: np.random.Generator, excluded: Collection[bytes]) -> np.ndarray:
        """Return up to `n` random ones [n, D]; fewer where no more are found, for sure where the space is small."""
        found = self._news(self._feasible(self._drawn(n, generator)), excluded)
        if len(found) < n:
            found = self._news(np.concatenate([found, self._feasible(self._drawn(_DRAWS * n, generator))]), excluded)
        if len(found) < n and self.is_listed:
            return generator.permutation(self._news(self.all(), excluded))[:n]
        for _ in range(_MOVES if len(found) < n else 0):
            if len(found) >= n:
                break
            found = self._news(np.concatenate([found, self._moved_inside(n, generator, found)]), excluded)
        return found[:n]

    def offspring(
        self, parents: np.ndarray, n: int, generator: np.random.Generator, excluded: Collection[bytes]
    ) -> np.ndarray:
        """Return up to `n` mutants of crossed pairs of parents [P, D]."""
        first, second = parents[generator.integers(len(parents), size=(2, n))]
        crossed = generator.random((n, 1)) < 0.5
        genes = np.where(crossed & (generator.random(first.shape) < 0.5), self._filled(second, generator), first)
        genes = np.where(self.space.active(first) | crossed, genes, self._filled(first, generator))
        return self._news(self._feasible(self._mutated(genes, generator)), excluded)

    def allowed(self, encodings: np.ndarray, excluded: Collection[bytes]) -> np.ndarray:
        """Return those among encodings [N, D] that may be proposed, once each, in their order."""
        return self._news(self._feasible(encodings), excluded)

    def _mutated(self, genes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return encodings with one decision redrawn among its other choices, and one more on average."""
        counts = self.space.choice_counts
        free = np.flatnonzero(counts > 1)
        if len(free) == 0:
            return genes
        redrawn = (genes + generator.integers(1, np.maximum(counts, 2), size=genes.shape)) % counts
        chosen = generator.random(genes.shape) < 1.0 / len(free)
        chosen[np.arange(len(genes)), generator.choice(free, size=len(genes))] = True
        return np.where(chosen, redrawn, genes)

    def _filled(self, encodings: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return random choices where decisions are inactive."""
        drawn = generator.integers(0, self.space.choice_counts, size=encodings.shape)
        return np.where(self.space.active(encodings), encodings, drawn)

    def _drawn(self, n: int, generator: np.random.Generator) -> np.ndarray:
        try:
            return self.space.sample_encodings(n, generator)
        except InvalidArchitecture:  # members are rare
            return np.stack([self.space.encode(self.space.smallest()), self.space.encode(self.space.largest())])

    def _feasible(self, encodings: np.ndarray) -> np.ndarray:
        """Return the canonical forms of those that are members within limits."""
        members = encodings[self.space.valid(encodings)]
        if len(members) == 0:
            return np.zeros((0, encodings.shape[1]), dtype=np.int64)
        members = self.space.canonical(members).astype(np.int64)
        return members[np.asarray(self.violation(members)) <= 0]

    def _moved_inside(self, n: int, generator: np.random.Generator, found: np.ndarray) -> np.ndarray:
        """Return mutants of known ones, or of the least infeasible draws, moved towards the limits."""
        if len(found):
            return self._feasible(self._mutated(found[generator.integers(len(found), size=4 * n)], generator))
        ends = [self.space.encode(self.space.smallest()), self.space.encode(self.space.largest())]
        moved = np.concatenate([ends, self._drawn(2 * n, generator)]).astype(np.int64)
        outside = np.asarray(self.violation(moved))
        for _ in range(_MOVES):
            if (outside <= 0).any():
                break
            tried = self._mutated(moved, generator)
            valid = self.space.valid(tried)
            tried[valid] = self.space.canonical(tried[valid])
            tried[~valid] = moved[~valid]
            after = np.asarray(self.violation(tried))
            closer = after < outside
            moved, outside = np.where(closer[:, None], tried, moved), np.where(closer, after, outside)
        return self._feasible(moved)

    def _news(self, encodings: np.ndarray, excluded: Collection[bytes]) -> np.ndarray:
        """Return those that are not excluded, once each, in their order."""
        fresh: dict[bytes, int] = {}
        for i, row in enumerate(encodings):
            name = key(row)
            if name not in excluded:
                fresh.setdefault(name, i)
        return encodings[list(fresh.values())]
