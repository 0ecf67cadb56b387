"""Boosted trees and nearest rows: predictors that have nothing in common with a Gaussian process.

Paper: Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics 29(5), 2001.
Differs: nothing known; the trees are those of scikit-learn.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from nas.predictors.predictor import Prediction, Standardiser, feature_rows, fitted, training_data

if TYPE_CHECKING:
    from sklearn.ensemble import GradientBoostingRegressor

_CHUNK = 1024  # rows whose distances to all known ones are held at the same time


@dataclass(kw_only=True)
class BoostedTrees:
    """Small trees, each fitted to what those before it leave.

    Attributes:
        trees: Number of trees.
        depth: Depth of each.
        lr: Share of each that counts.
        seed: Seed of the rows and columns that a tree sees.
    """

    trees: int = 300
    depth: int = 3
    lr: float = 0.05
    seed: int = 0
    _state: "tuple[GradientBoostingRegressor, int] | None" = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.trees < 1 or self.depth < 1 or self.lr <= 0:
            raise ValueError(f"trees, depth and lr must be above 0, got {self.trees}, {self.depth}, {self.lr}")

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        from sklearn.ensemble import GradientBoostingRegressor  # takes long to import

        x, y = training_data(features, targets)
        model = GradientBoostingRegressor(
            n_estimators=self.trees,
            max_depth=self.depth,
            learning_rate=self.lr,
            subsample=0.8,
            max_features=0.5,
            random_state=self.seed,
        )
        self._state = model.fit(x, y), x.shape[1]
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        model, columns = fitted(self._state)
        rows = feature_rows(features, columns=columns)
        return Prediction(np.asarray(model.predict(rows), dtype=float) if len(rows) else np.zeros(0))


@dataclass(kw_only=True)
class NearestRows:
    """Mean of the nearest rows in standardised features, weighed by the inverse of their distance.

    Where a known row is asked for, its own target is the answer, so that on real rows there is no model at all.

    Attributes:
        count: Rows that are averaged.
        seed: Not used; every predictor has one.
    """

    count: int = 5
    seed: int = 0
    _state: tuple[Standardiser, np.ndarray, np.ndarray] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be above 0, got {self.count}")

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        x, y = training_data(features, targets)
        standardise = Standardiser.of(x)
        self._state = standardise, standardise(x), y
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        standardise, known, targets = fitted(self._state)
        rows = standardise(feature_rows(features, columns=known.shape[1]))
        means = np.zeros(len(rows))
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            distances = ((part[:, None] - known[None]) ** 2).sum(-1)
            nearest = np.argsort(distances, axis=1, kind="stable")[:, : self.count]
            weights = 1 / np.maximum(np.sqrt(np.take_along_axis(distances, nearest, axis=1)), 1e-9)
            means[start : start + _CHUNK] = (weights * targets[nearest]).sum(1) / weights.sum(1)
        return Prediction(means)
