"""Members of a space that were not evaluated yet, near the proposals of a searcher."""

from collections.abc import Callable, Sequence

import numpy as np

from nas.searchers.initial import initial_encodings
from search_spaces import Architecture, Space
from search_spaces.listing import can_be_listed, listed

_NEAR_ROUNDS = 8  # rounds of moving near the proposals, before a small space is listed instead
_FAR_ROUNDS = 64
_REPAIR_TRIES = 32
_BLOCK = 4  # proposals for each wanted one that are moved into the limits before more are looked at
_FRUITLESS_ROUNDS = 16  # rounds without a move that breaks limits less
_MOVES = 16  # moves of each seed in such a round


class NewArchitectures:
    """A filter that keeps proposals new, distinct, and within the exactly known limits.

    Any other proposal is replaced: few of its decisions are redrawn, and more with every round that finds nothing.
    Where limits are broken, the moves that break them less are kept.

    Args:
        space: Space to search.
        violation: Exact violations [N] of encodings [N, D].
        generator: Generator of all redraws.
    """

    def __init__(
        self, space: Space, violation: Callable[[np.ndarray], np.ndarray], generator: np.random.Generator
    ) -> None:
        self.space, self.violation, self.generator = space, violation, generator
        self._told: set[bytes] = set()
        self._asked: set[bytes] = set()
        self._all: np.ndarray | None = None

    def tell(self, architectures: Sequence[Architecture]) -> None:
        """Note what is known; what else was taken is forgotten."""
        self._told.update(key(self.space.encode(architecture)) for architecture in architectures)
        self._asked.clear()

    def is_told(self, encodings: np.ndarray) -> np.ndarray:
        """Return which canonical encodings [N, D] are known, as booleans [N]."""
        return np.array([key(row) in self._told for row in encodings], dtype=bool)

    def is_known(self, encoding: np.ndarray) -> bool:
        """Return whether a canonical encoding [D] was told, or taken since."""
        return key(encoding) in self._told or key(encoding) in self._asked

    def random(self, n: int) -> np.ndarray:
        """Return up to `n` random encodings [n, D], as `take`."""
        return self.take(initial_encodings(self.space, n, self.generator, self.violation, extremes=False), n)

    def take(self, proposals: np.ndarray, n: int) -> np.ndarray:
        """Return up to `n` encodings [n, D] that were neither told nor taken since; fewer only where no others are
        left.

        Where everything left was taken since the last `tell`, it is given again.

        Args:
            proposals: Encodings [N, D], the best first; they may be known, doubled, outside the space or outside
                limits.
            n: Number of encodings.
        """
        taken = self._found(proposals, n, self._told | self._asked)
        if len(taken) == 0:
            taken = self._found(proposals, n, self._told)
        self._asked.update(key(row) for row in taken)
        return taken

    def _found(self, proposals: np.ndarray, n: int, excluded: set[bytes]) -> np.ndarray:
        excluded = set(excluded)
        if len(proposals) == 0:
            proposals = self.space.sample_encodings(n, self.generator)
        found, seeds = list[np.ndarray](), np.empty((0, proposals.shape[1]), dtype=np.int64)
        for start in range(0, len(proposals), block := _BLOCK * n):
            members = members_near(self.space, proposals[start : start + block], self.generator)
            nearby = self._within_limits(self.space.canonical(members))
            found += self._accepted(nearby, n - len(found), excluded)
            seeds = np.concatenate([seeds, nearby])
            if len(found) >= n:
                break
        rounds = _NEAR_ROUNDS if can_be_listed(self.space) else _FAR_ROUNDS
        for step in range(rounds):
            if len(found) >= n:
                break
            moved = self._moved(seeds[: n - len(found)], 2.0 ** (step / 8))
            found += self._accepted(moved, n - len(found), excluded)
        if len(found) < n:
            if can_be_listed(self.space):
                rest = self.generator.permutation(self._everything())
            else:
                rest = initial_encodings(self.space, n, self.generator, self.violation, extremes=False)
            found += self._accepted(rest, n - len(found), excluded)
        return np.array(found, dtype=np.int64).reshape(len(found), len(self.space.decisions))

    def _accepted(self, encodings: np.ndarray, n: int, excluded: set[bytes]) -> list[np.ndarray]:
        """Return the first `n` of canonical encodings that may be proposed; they are excluded from now on."""
        found: list[np.ndarray] = []
        inside = self.violation(encodings) <= 0 if len(encodings) else ()
        for row, feasible in zip(encodings, inside):
            if len(found) == n:
                break
            if feasible and key(row) not in excluded:
                excluded.add(key(row))
                found.append(row)
        return found

    def _within_limits(self, seeds: np.ndarray) -> np.ndarray:
        """Return seeds [N, D]; those outside the limits are moved as long as moves break them less."""
        seeds, outside = seeds.copy(), self.violation(seeds)
        fruitless = 0
        while fruitless < _FRUITLESS_ROUNDS and (outside > 0).any():
            rows = np.flatnonzero(outside > 0).repeat(_MOVES)
            moved = self._redrawn(seeds[rows], 1.0)
            valid = self.space.valid(moved)
            rows, moved = rows[valid], self.space.canonical(moved[valid])
            broken = self.violation(moved) if len(moved) else np.empty(0)
            order = np.argsort(-broken, kind="stable")  # of one seed's moves, the least broken is written last
            order = order[broken[order] < outside[rows[order]]]
            seeds[rows[order]], outside[rows[order]] = moved[order], broken[order]
            fruitless = 0 if len(order) else fruitless + 1
        return seeds

    def _moved(self, seeds: np.ndarray, genes: float) -> np.ndarray:
        """Return members [M, D] with about `genes` decisions redrawn, M up to the number of seeds."""
        moved = self._redrawn(seeds, genes)
        return self.space.canonical(moved[self.space.valid(moved)])

    def _redrawn(self, encodings: np.ndarray, genes: float) -> np.ndarray:
        """Return encodings [N, D] with one decision redrawn, and about `genes` of the others."""
        redrawn = self.generator.integers(0, self.space.choice_counts, size=encodings.shape)
        chosen = self.generator.random(encodings.shape) < min(1.0, genes / encodings.shape[1])
        chosen[np.arange(len(encodings)), self.generator.integers(encodings.shape[1], size=len(encodings))] = True
        return np.where(chosen, redrawn, encodings)

    def _everything(self) -> np.ndarray:
        """Return all members, once each [M, D], in a fixed order."""
        if self._all is None:
            self._all = listed(self.space)
        return self._all


def members_near(space: Space, encodings: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return encodings [N, D] where they are members; the others are moved until they are, or drawn again."""
    encodings = encodings.copy()
    outside = np.flatnonzero(~space.valid(encodings))
    for _ in range(_REPAIR_TRIES):
        if len(outside) == 0:
            return encodings
        shape = (len(outside), encodings.shape[1])
        redrawn = generator.integers(0, space.choice_counts, size=shape)
        moved = np.where(generator.random(shape) < 2.0 / shape[1], redrawn, encodings[outside])  # two genes on average
        inside = space.valid(moved)
        encodings[outside[inside]] = moved[inside]
        outside = outside[~inside]
    if len(outside) > 0:
        encodings[outside] = space.sample_encodings(len(outside), generator)
    return encodings


def key(encoding: np.ndarray) -> bytes:
    """Return what tells encodings [D] apart in sets."""
    return np.ascontiguousarray(encoding, dtype=np.int64).tobytes()
