"""Numbers about the paths from input to output of many small graphs, all graphs at once.

An operation that lies on no path does nothing. So the number of paths through an operation, and their lengths, say more
about a graph than the number of its operations. Graphs resemble each other by these numbers beyond their single edges.
"""

from collections.abc import Sequence

import numpy as np


class Paths:
    """Paths through N graphs of the same numbered vertices; the first is the input, the last the output.

    Args:
        edges: (source, target), sources before targets; every graph has some of them.
        present: Which edges each graph has [N, E].
    """

    def __init__(self, edges: Sequence[tuple[int, int]], present: np.ndarray) -> None:
        self.present = np.asarray(present, dtype=bool)
        self.vertices = max(target for _, target in edges) + 1
        self._places = sorted(enumerate(edges), key=lambda place: place[1][::-1])  # by target
        self._backwards = sorted(enumerate(edges), key=lambda place: place[1], reverse=True)
        self.edges = tuple(edges)

    def live(self) -> np.ndarray:
        """Return the edges [N, E] that lie on a path from input to output."""
        ahead, behind = self._reached(), self._leading_out()
        sources = [source for source, _ in self.edges]
        targets = [target for _, target in self.edges]
        return self.present & ahead[:, sources] & behind[:, targets]

    def count(self) -> np.ndarray:
        """Return the number of paths [N]."""
        paths = np.zeros((len(self.present), self.vertices))
        paths[:, 0] = 1
        for edge, (source, target) in self._places:
            paths[:, target] += np.where(self.present[:, edge], paths[:, source], 0)
        return paths[:, -1]

    def longest(self, lengths: np.ndarray) -> np.ndarray:
        """Return the greatest sum [N] of edge lengths [N, E] on a path; 0 without a path."""
        return self._extreme(lengths, np.maximum, -np.inf)

    def shortest(self, lengths: np.ndarray) -> np.ndarray:
        """Return the least sum [N] of edge lengths [N, E] on a path; 0 without a path."""
        return self._extreme(lengths, np.minimum, np.inf)

    def _extreme(self, lengths: np.ndarray, better: np.ufunc, worst: float) -> np.ndarray:
        best = np.full((len(self.present), self.vertices), worst)
        best[:, 0] = 0
        for edge, (source, target) in self._places:
            there = np.where(self.present[:, edge], best[:, source] + lengths[:, edge], worst)
            best[:, target] = better(best[:, target], there)
        return np.where(np.isfinite(best[:, -1]), best[:, -1], 0.0)

    def _reached(self) -> np.ndarray:
        reached = np.zeros((len(self.present), self.vertices), dtype=bool)
        reached[:, 0] = True
        for edge, (source, target) in self._places:
            reached[:, target] |= self.present[:, edge] & reached[:, source]
        return reached

    def _leading_out(self) -> np.ndarray:
        leading = np.zeros((len(self.present), self.vertices), dtype=bool)
        leading[:, -1] = True
        for edge, (source, target) in self._backwards:
            leading[:, source] |= self.present[:, edge] & leading[:, target]
        return leading
