"""What can be learned from an earlier search of the same space, on another device or of another training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np

from nas.predictors.grouped_gaussian_process import GroupedGaussianProcess
from nas.searchers.surrogate.beliefs import Exact, likeliest
from nas.searchers.surrogate.features import Columns, Features
from search_spaces import Architecture, Space
from supernets.streams import SURROGATE_EARLIER

_LEAST_ROWS = 10


@dataclass(frozen=True)
class Earlier:
    """A model of each objective that is not computed, learned from the earlier losses alone.

    Its predictions are columns for the models of this search. So unit and scale of the losses do not matter. The
    evaluations of this search decide how far they are believed, and where they say nothing they do no harm.

    Attributes:
        features: Features that these models see.
        models: Models of each objective.
        front: Non-dominated architectures [N, D] of the earlier search, by the last objective.
    """

    features: Features
    models: list[GroupedGaussianProcess]
    front: np.ndarray

    @classmethod
    def of(
        cls,
        space: Space,
        rows: Sequence[tuple[Architecture, Sequence[float]]],
        objectives: int,
        exact: Mapping[int, Exact],
        seed: int,
    ) -> "Earlier | None":
        """Return what can be learned from rows; None where fewer than ten have finite losses.

        Raises:
            ValueError: A row has another number of losses.
        """
        wrong = next((row for row in rows if len(row[1]) != objectives), None)
        if wrong is not None:
            raise ValueError(f"warm_start: {dict(wrong[0])} has {len(wrong[1])} losses; the search has {objectives}")
        kept = [(architecture, row) for architecture, row in rows if np.isfinite(row).all()]
        if len(kept) < _LEAST_ROWS:
            return None
        encodings = np.stack([space.encode(architecture) for architecture, _ in kept])
        losses = np.array([row for _, row in kept], dtype=float)
        features = Features(space, SURROGATE_EARLIER.generator(seed))
        seen = features(encodings)
        models = []
        for k in range(objectives):
            if k not in exact:
                model = GroupedGaussianProcess(groups=features.groups.tolist(), numeric=features.numeric, seed=seed)
                warp = likeliest(model, seen, losses[:, k], np.zeros(len(losses)))
                models.append(model.fit(seen, warp(losses[:, k])))
        best = moocore.is_nondominated(losses, keep_weakly=False)
        order = np.argsort(losses[best, -1], kind="stable")
        return cls(features, models, encodings[best][order])

    def columns(self) -> list[Columns]:
        """Return the predictions, as columns."""
        return [lambda encodings: np.stack([m.predict(self.features(encodings)).mean for m in self.models], axis=1)]
