"""A predictor: what the nearest evaluated architectures are worth."""

from typing import Self

import numpy as np

from nas.predictors import Predictor
from nas.predictors.predictor import Prediction, feature_rows, fitted, training_data


class Nearest(Predictor):
    """Mean target of the `count` nearest rows.

    Args:
        count: Rows that are averaged.
    """

    def __init__(self, *, count: int = 3) -> None:
        self.count = count
        self._rows: tuple[np.ndarray, np.ndarray] | None = None

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        self._rows = training_data(features, targets)
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        known, targets = fitted(self._rows)
        rows = feature_rows(features, columns=known.shape[1])
        distances = ((rows[:, None] - known[None]) ** 2).sum(-1)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, : self.count]
        return Prediction(targets[nearest].mean(1), targets[nearest].std(1))
