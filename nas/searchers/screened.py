"""NSGA-II whose offspring are screened by predictors and exact costs: what it does with all that `surrogate` is told.

Paper: none; the control of comparisons, in which a searcher that knows an exact objective and summaries of
architectures meets NSGA-II without either.
Differs: nothing known.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from nas.predictors import Predictor, Ridge
from nas.searchers.filtered import Filtered
from nas.searchers.non_dominated import best_first
from nas.searchers.nsga2 import NSGA2
from nas.searchers.surrogate.beliefs import Exact
from nas.searchers.surrogate.features import Features
from search_spaces import Architecture, Space
from supernets.streams import SURROGATE_FEATURES

_LEAST_ROWS = 5


class ScreenedNSGA2(Filtered):
    """NSGA-II of whose offspring the best are evaluated, by predicted and exact objectives.

    Args:
        space: Space to search.
        objectives: Number of objectives.
        population: Size of the population and of each generation.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        exact: Index of an objective that can be computed -> its losses [N] of encodings [N, D].
        candidates: Offspring for each that is evaluated.
        predictor: Makes the predictor of one objective, from the features of `surrogate`.
        mutation: Mutation of NSGA-II.
    """

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        population: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        exact: Mapping[int, Exact] | None = None,
        candidates: int = 10,
        predictor: Callable[[], Predictor] = Ridge,
        mutation: Literal["polynomial", "redrawn"] = "redrawn",
    ) -> None:
        evolution = NSGA2(
            space, objectives=objectives, population=population, seed=seed, violation=violation, mutation=mutation
        )
        super().__init__(evolution, self._ranked, candidates=candidates, first=False, told=self._learn)
        self.space, self.objectives, self.violation = space, objectives, violation
        self.exact, self.predictor = dict(exact or {}), predictor
        self.features = Features(space, SURROGATE_FEATURES.generator(seed))
        self._rows: dict[Architecture, np.ndarray] = {}
        self._fitted: dict[int, Predictor] = {}

    def _learn(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        self._rows.update((a, row) for a, row in zip(architectures, losses) if np.isfinite(row).all())
        if len(self._rows) < _LEAST_ROWS:
            return
        features = self.features(self._encoded(list(self._rows)))
        known = np.array(list(self._rows.values()))
        self._fitted = {
            place: self.predictor().fit(features, known[:, place])
            for place in range(self.objectives)
            if place not in self.exact
        }

    def _ranked(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Return minus the place [N] of architectures among each other; equal where too little is known."""
        places = np.zeros(len(architectures))
        if len(self._rows) < _LEAST_ROWS:
            return places
        encodings = self._encoded(architectures)
        features = self.features(encodings)
        columns = [
            self.exact[place](encodings) if place in self.exact else self._fitted[place].predict(features).mean
            for place in range(self.objectives)
        ]
        losses = np.stack(columns, axis=1).astype(float)
        places[best_first(losses, self.violation(encodings))] = np.arange(len(architectures))
        return -places

    def _encoded(self, architectures: Sequence[Architecture]) -> np.ndarray:
        return np.stack([self.space.encode(architecture) for architecture in architectures])
