"""Several proxies as one score, without those that rank no better than the numbers of weights and multiply-accumulates.

Paper: none; mean ranks are the plain way to put scores of different scales together.
Differs: nothing known.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from nas.rank_agreement import spearman
from nas.searchers.filtered import Score
from search_spaces import Architecture, Space


def cost_scores(space: Space) -> dict[str, Score]:
    """Return the exact costs of a space as scores: the larger, the better."""

    def score(name: str) -> Score:
        return lambda architectures: space.costs(architectures)[name]

    return {name: score(name) for name in space.cost_names}


class AutoScore:
    """The mean rank among the proposals, over the proxies that beat the baselines.

    Once enough accuracies are known, a proxy whose Spearman correlation with them does not exceed that of every
    baseline is left out; it comes back when this changes. Where none is left, all proposals score the same, and nothing
    is filtered. The proxies themselves chose what was evaluated, which makes their correlations smaller than over the
    whole space. So the error is on the side of not filtering.

    Args:
        scores: Name -> proxy, higher better.
        baselines: Name -> what a proxy must beat, see `cost_scores`.
        objective: Index of the loss that is the negative accuracy.
        least_evaluations: Accuracies known before any proxy is left out.
    """

    def __init__(
        self,
        scores: Mapping[str, Score],
        baselines: Mapping[str, Score],
        *,
        objective: int = 0,
        least_evaluations: int = 20,
    ) -> None:
        if not scores:
            raise ValueError("an auto score needs at least one proxy, got none")
        if least_evaluations < 3:
            raise ValueError(f"least_evaluations must be at least 3, got {least_evaluations}")
        self.scores, self.baselines = dict(scores), dict(baselines)
        self.objective, self.least_evaluations = objective, least_evaluations
        self.kept = list(scores)
        self._accuracies: dict[Architecture, float] = {}
        self._values: dict[str, dict[Architecture, float]] = {}

    def __call__(self, architectures: Sequence[Architecture]) -> np.ndarray:
        if not self.kept:
            return np.zeros(len(architectures))
        return np.mean([_midranks(self._column(name, architectures)) for name in self.kept], axis=0)

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        """Weigh the proxies again; failed or infeasible candidates say nothing about them."""
        for architecture, loss, violation in zip(architectures, losses[:, self.objective], violations):
            if violation <= 0 and np.isfinite(loss):
                self._accuracies[architecture] = -float(loss)
        if len(self._accuracies) < self.least_evaluations:
            return
        agreements = self.agreements()
        bar = max((agreements[name] for name in self.baselines), default=-1.0)
        self.kept = [name for name in self.scores if agreements[name] > bar]

    def agreements(self) -> dict[str, float]:
        """Return Spearman of every proxy and baseline with the accuracies evaluated so far, two or more."""
        known = list(self._accuracies)
        accuracies = np.array(list(self._accuracies.values()))
        names = [*self.scores, *(name for name in self.baselines if name not in self.scores)]
        return {name: spearman(self._column(name, known), accuracies) for name in names}

    def _column(self, name: str, architectures: Sequence[Architecture]) -> np.ndarray:
        """Return scores [N], each computed once."""
        values = self._values.setdefault(name, {})
        missing = list(dict.fromkeys(a for a in architectures if a not in values))
        if missing:
            score = self.scores[name] if name in self.scores else self.baselines[name]
            values.update(zip(missing, np.asarray(score(missing), dtype=float).tolist(), strict=True))
        return np.array([values[architecture] for architecture in architectures])


def _midranks(scores: np.ndarray) -> np.ndarray:
    """Return mid-ranks [N] of scores [N], the highest for the best; what is not finite shares the lowest."""
    _, group, sizes = np.unique(np.where(np.isfinite(scores), scores, -np.inf), return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group]
