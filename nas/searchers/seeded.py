"""A searcher that begins with the best architectures of an earlier search.

Paper: warm start as in Sarah et al., arXiv 2202.12954: the first population is the front of another device.
Differs: the front takes up to half of the first population; the other half is what the searcher itself asks for.
"""

from collections.abc import Sequence

import numpy as np

from nas.searchers.searcher import Searcher
from search_spaces import Architecture


class Seeded(Searcher):
    """A searcher that adds known good architectures to the first proposals of another one.

    Args:
        searcher: Searcher that is asked for the rest and told of everything.
        first: Known architectures, the best first; where there is no room for all, they are spread over the front.
    """

    def __init__(self, searcher: Searcher, first: Sequence[Architecture]) -> None:
        self.searcher, self.first = searcher, list(dict.fromkeys(first))
        self._told = False

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        asked = self.searcher.ask()
        if self._told:
            return asked
        room = min(len(self.first), max(1, len(asked) // 2))
        places = np.unique(np.linspace(0, len(self.first) - 1, room).round().astype(int))
        seeds = [self.first[place] for place in places] if self.first else []
        rest = [architecture for architecture in asked if architecture not in seeds]
        return [*seeds, *rest][: max(len(asked), 1)]

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        self._told = True
        self.searcher.tell(architectures, losses, violations)
