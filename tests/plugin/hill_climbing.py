"""A searcher: mutates the best that it was told of."""

from collections.abc import Callable, Sequence

import numpy as np

from nas.searchers import Searcher
from search_spaces import Architecture, Space


class HillClimbing(Searcher):
    """Neighbours of the feasible architecture with the least sum of ranks over all objectives.

    Args:
        space: Where to search.
        population: Architectures of one `ask`.
        seed: Of the draws.
        violation: Exact violations [N] of encodings [N, D].
        rate: Of mutation.
    """

    def __init__(
        self,
        space: Space,
        *,
        population: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        rate: float = 0.3,
    ) -> None:
        self.space, self.population, self.violation, self.rate = space, population, violation, rate
        self.generator = np.random.default_rng(seed)
        self.told: list[tuple[Architecture, np.ndarray]] = []

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        proposed: list[Architecture] = []
        for _ in range(100 * self.population):
            candidate = self._neighbour() if self.told else self.space.sample(self.generator)
            if self.violation(self.space.encode(candidate)[None])[0] == 0:
                proposed.append(candidate)
            if len(proposed) == self.population:
                break
        return proposed

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        self.told += [(a, row) for a, row, off in zip(architectures, losses, violations) if off == 0]

    def _neighbour(self) -> Architecture:
        ranks = np.stack([losses for _, losses in self.told]).argsort(0).argsort(0).sum(1)
        best = self.told[int(ranks.argmin())][0]
        return self.space.mutate(best, self.generator, rate=self.rate)
