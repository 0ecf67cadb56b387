"""Random search, the baseline of every other searcher."""

from collections.abc import Callable, Sequence

import numpy as np

from nas.searchers.initial import initial_encodings
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space
from supernets.streams import SEARCHER


class Random(Searcher):
    """Architectures drawn from the space, within its exactly known limits.

    Args:
        space: Space to draw from.
        objectives: Number of objectives; not needed here.
        population: Architectures of one `ask`.
        seed: Seed of the draws.
        violation: Exact violations [N] of encodings [N, D].
    """

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        population: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self.space, self.population, self.violation = space, population, violation
        self.generator = SEARCHER.generator(seed)

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        encodings = initial_encodings(self.space, self.population, self.generator, self.violation, extremes=False)
        return [self.space.decode(encoding) for encoding in encodings]

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        """Learn nothing."""
