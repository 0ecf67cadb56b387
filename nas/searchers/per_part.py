"""One searcher for each part of a space, in turn, as one searcher.

Paper: GM-NAS, arXiv 2203.15207: every part of a split supernet is searched by itself. With halving, the part with the
best candidate is found as the released code finds the best of its networks: the better half goes on, until one is left.
Differs: published halving trains one network of each part for longer and longer; here parts are searched for longer and
longer, and judged by what was found in them; with several objectives, by its hypervolume.
"""

from collections.abc import Callable, Sequence
from math import ceil, log2

import moocore
import numpy as np

from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space

MakeSearcher = Callable[[Space, int], Searcher]
"""Makes the searcher of a part of a space; the number is that of the part."""


class PerPart(Searcher):
    """Searchers of the parts of a space, which take turns; a turn ends when a searcher is told.

    Args:
        spaces: Parts of the space.
        make_searcher: Makes the searcher of each part.
        halving: Whether the worse half of the parts is given up after every rung, until one part is left.
        evaluations: Architectures that the whole search evaluates; rungs share them equally. Needed for halving.
    """

    def __init__(
        self,
        spaces: Sequence[Space],
        make_searcher: MakeSearcher,
        *,
        halving: bool = False,
        evaluations: int | None = None,
    ) -> None:
        if not spaces:
            raise ValueError("spaces must be one or more parts, got none")
        if halving and (evaluations is None or evaluations < 1):
            raise ValueError(f"evaluations must be at least 1 for halving, got {evaluations}")
        self.searchers = [make_searcher(space, i) for i, space in enumerate(spaces)]
        self.alive = list(range(len(spaces)))
        self.halving = halving and len(spaces) > 1
        self.rung = (evaluations or 0) / (1 + ceil(log2(len(spaces))))
        self.found: list[dict[Architecture, tuple[np.ndarray, float]]] = [{} for _ in spaces]
        self.follows_evaluations = any(searcher.follows_evaluations for searcher in self.searchers)
        self._asked: dict[Architecture, int] = {}
        self._turn = 0
        self._rungs = 1

    @property
    def part(self) -> int:
        """The part whose turn it is."""
        return self.alive[self._turn % len(self.alive)]

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        for _ in self.alive:
            if asked := self.searchers[self.part].ask():
                self._asked.update(dict.fromkeys(asked, self.part))
                return asked
            self._turn += 1  # nothing is left to find there
        return []

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        parts = np.array([self._asked[architecture] for architecture in architectures])
        for part in sorted(set(parts.tolist())):
            rows = np.flatnonzero(parts == part)
            mine = [architectures[int(i)] for i in rows]
            self.searchers[part].tell(mine, losses[rows], violations[rows])
            told = zip(mine, losses[rows], violations[rows])
            self.found[part].update({a: (row, float(v)) for a, row, v in told if np.isfinite(row).all()})
        self._turn = (self._turn + 1) % len(self.alive)
        if self.halving and self._turn == 0 and sum(map(len, self.found)) >= self._rungs * self.rung:
            self._rungs += 1
            self._halve()

    def _halve(self) -> None:
        """Keep the better half of the parts, of equally good ones the first, in their order."""
        worth = self._worth()
        ranked = sorted(self.alive, key=lambda part: (-worth[part], part))
        self.alive = sorted(ranked[: ceil(len(ranked) / 2)])

    def _worth(self) -> dict[int, float]:
        """Return what was found in each part: the volume that its feasible candidates dominate in the range of all."""
        feasible = [[row for row, violation in found.values() if violation <= 0] for found in self.found]
        known = [row for rows in feasible for row in rows]
        if not known:
            return dict.fromkeys(self.alive, 0.0)
        low, high = np.min(known, axis=0), np.max(known, axis=0)
        span = np.where(high > low, high - low, 1.0)
        worth = {}
        for part in self.alive:
            scaled = (np.array(feasible[part]).reshape(-1, len(low)) - low) / span
            if len(scaled) == 0:
                worth[part] = -1.0
            elif scaled.shape[1] == 1:
                worth[part] = float(1.0 - scaled.min())
            else:
                worth[part] = float(moocore.hypervolume(scaled, ref=np.full(len(low), 1.1)))
        return worth


def violation_within(
    part: Space, whole: Space, violation: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return violations [N] of encodings [N, D] of a part of a space, by a function of encodings of the whole."""
    tables = [
        np.array([ours.choices.index(choice) for choice in theirs.choices])
        for theirs, ours in zip(part.decisions, whole.decisions)
    ]

    def of_part(encodings: np.ndarray) -> np.ndarray:
        translated = np.stack([table[column] for table, column in zip(tables, encodings.T)], axis=1)
        return violation(whole.canonical(translated))

    return of_part
