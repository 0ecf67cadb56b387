"""Regularised evolution: tournaments, one mutation at a time, and the oldest dies.

Paper: Real et al., Regularized Evolution for Image Classifier Architecture Search, arXiv 1802.01548, algorithm 1;
population 100 and sample 25 are its defaults.
Differs: a child that was evaluated before, or breaks a limit on an exact cost, is redrawn, and after ten such children
the last one is mutated again: the published search trains it once more. The paper has one objective; with several,
the winner of a tournament is the one of the lowest non-dominated rank in the population, and of those the least
crowded, as in NSGA-II. Members outside hard limits lose to all others. The first members are distinct.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from nas.searchers.initial import initial_encodings
from nas.searchers.non_dominated import rank_and_crowding
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, InvalidArchitecture, Space
from supernets.streams import SEARCHER

_REDRAWS = 10  # known children of a parent, after which the last of them is mutated further
_STEPS = 100  # mutations after that; only nearly exhausted spaces come this far


class _Member(NamedTuple):
    architecture: Architecture
    losses: np.ndarray
    violation: float


class RegularizedEvolution(Searcher):
    """Evolution with ageing; after the first population, it asks for one child at a time.

    Until the next `tell`, all children asked for have the same parent.

    Args:
        space: Space to search.
        objectives: Number of objectives.
        population: Members alive.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        sample_size: Members of a tournament, drawn with replacement; a quarter of the population where it is None.
    """

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        population: int = 100,
        sample_size: int | None = None,
    ) -> None:
        if population < 1:
            raise ValueError(f"population must be at least 1, got {population}")
        if sample_size is not None and sample_size < 1:
            raise ValueError(f"sample_size must be at least 1, got {sample_size}")
        self.space, self.objectives, self.population, self.violation = space, objectives, population, violation
        self.sample_size = max(1, population // 4) if sample_size is None else sample_size
        self.generator = SEARCHER.generator(seed)
        self.alive: deque[_Member] = deque(maxlen=population)
        self._known: set[Architecture] = set()
        self._parent: Architecture | None = None

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        missing = self.population - len(self.alive)
        if missing > 0:
            return self._newcomers(missing)
        if self._parent is None:
            self._parent = self._tournament()
        try:
            return [self._child(self._parent)]
        except InvalidArchitecture:  # no mutation leads to another member of the space
            return self._newcomers(1)

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        told = zip(architectures, losses, violations)
        self.alive.extend(_Member(a, row, float(violation)) for a, row, violation in told)
        self._known.update(architectures)
        self._parent = None

    def _newcomers(self, n: int) -> list[Architecture]:
        encodings = initial_encodings(self.space, n, self.generator, self.violation, extremes=False)
        return [self.space.decode(encoding) for encoding in encodings]

    def _child(self, parent: Architecture) -> Architecture:
        """Return a mutant in one decision that is not known, or one further away where none is found."""
        for _ in range(_REDRAWS):
            child = self.space.mutate(parent, self.generator, rate=0.0)
            if self._is_news(child):
                return child
        for _ in range(_STEPS):
            child = self.space.mutate(child, self.generator, rate=0.0)
            if self._is_news(child):
                return child
        return child

    def _is_news(self, child: Architecture) -> bool:
        return child not in self._known and not self.violation(self.space.encode(child)[None])[0] > 0

    def _tournament(self) -> Architecture:
        """Return the winner among members drawn with replacement; of equal ones the first drawn."""
        drawn = self.generator.integers(len(self.alive), size=self.sample_size).tolist()
        members = list(self.alive)
        if self.objectives == 1:
            return min((members[i] for i in drawn), key=lambda m: (m.violation, m.losses[0])).architecture
        violations = np.array([member.violation for member in members])
        keys = rank_and_crowding(np.stack([member.losses for member in members]), violations).tolist()
        return members[min(drawn, key=keys.__getitem__)].architecture
