"""Successive halving over shares of the data: many candidates cheaply first, the best of them on more, few on all.

Paper: Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, arXiv 1502.07943;
brackets of one kind as in Hyperband's inner loop (Li et al., arXiv 1603.06560).
Differs: what grows is the share of the validation images instead of the training; candidates come from another
searcher, which is told of every candidate once, with its result on the most data; several objectives are ranked by
non-dominated rank and crowding.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, Literal

import numpy as np

from nas.searchers.non_dominated import best_first
from nas.searchers.nsga2 import NSGA2
from nas.searchers.random import Random
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space

_ASKS_WITHOUT_NEWS = 20
_INNER: dict[str, Callable[..., Searcher]] = {"nsga2": NSGA2, "random": Random}


class SuccessiveHalving(Searcher):
    """Successive halving around another searcher; a rung is what is told together.

    Args:
        space: Space to search.
        objectives: Number of objectives.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        population: Candidates of the first rung.
        shares: Growing shares of the data that each rung evaluates on; the last is 1.
        proposes: Source of the candidates.
        options: Further keyword arguments of that searcher.

    Attributes:
        fidelity: Share of the data to evaluate the last proposals on.
    """

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        population: int = 24,
        shares: Sequence[float] = (0.1, 0.3, 1.0),
        proposes: Literal["nsga2", "random"] = "nsga2",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if len(shares) < 2 or list(shares) != sorted(set(shares)) or shares[0] <= 0 or shares[-1] != 1:
            raise ValueError(f"shares must grow from above 0 to 1, got {list(shares)}")
        if proposes not in _INNER:
            raise ValueError(f"proposes must be one of {', '.join(_INNER)}, got {proposes!r}")
        self.shares = tuple(float(share) for share in shares)
        self.searcher = _INNER[proposes](
            space, objectives=objectives, population=population, seed=seed, violation=violation, **(options or {})
        )
        self.fidelity = self.shares[0]
        self._rung: dict[Architecture, int] = {}
        self._promoted: list[Architecture] = []
        self._asked: set[Architecture] = set()
        self._finished: dict[Architecture, tuple[np.ndarray, float]] = {}

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        waiting = [architecture for architecture in self._promoted if architecture not in self._asked]
        if waiting:
            rung = max(self._rung[architecture] for architecture in waiting)
            asked = [architecture for architecture in waiting if self._rung[architecture] == rung]
        else:
            rung, asked = 0, self._newcomers()
            self._rung |= dict.fromkeys(asked, 0)
        self.fidelity = self.shares[rung]
        self._asked.update(asked)
        return asked

    def _newcomers(self) -> list[Architecture]:
        """Return the proposals of the other searcher, without those that are on a rung already.

        It is told at once what is known about those.
        """
        for _ in range(_ASKS_WITHOUT_NEWS):
            asked = self.searcher.ask()
            news = [architecture for architecture in asked if architecture not in self._rung]
            known = [architecture for architecture in asked if architecture in self._finished]
            if news or not known:
                return news
            rows, violations = zip(*(self._finished[architecture] for architecture in known))
            self.searcher.tell(known, np.stack(rows), np.array(violations))
        return []

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        told = set(architectures)
        self._promoted = [architecture for architecture in self._promoted if architecture not in told]
        rungs = np.array([self._rung.get(architecture, 0) for architecture in architectures])
        finished = np.ones(len(architectures), dtype=bool)
        for rung in np.unique(rungs).tolist():
            rows = np.flatnonzero(rungs == rung)
            order = rows[best_first(losses[rows], violations[rows])]
            kept = order[: self._kept(rung, len(rows))]
            finished[kept] = False
            for row in kept.tolist():
                self._rung[architectures[row]] = rung + 1
                self._promoted.append(architectures[row])
        if finished.any():
            out = [architectures[row] for row in np.flatnonzero(finished).tolist()]
            self._finished |= dict(zip(out, zip(losses[finished], violations[finished].tolist())))
            self.searcher.tell(out, losses[finished], violations[finished])
        self._asked.clear()

    def _kept(self, rung: int, candidates: int) -> int:
        """Return how many go on: as many as cost what this rung did."""
        if rung >= len(self.shares) - 1:
            return 0
        return ceil(candidates * self.shares[rung] / self.shares[rung + 1])
