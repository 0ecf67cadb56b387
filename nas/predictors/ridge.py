"""Ridge regression whose penalty is chosen by leave-one-out error in closed form.

Paper: Hoerl and Kennard, Technometrics 12(1), 1970; leave-one-out residuals e_i / (1 - h_i), Allen, 1974.
Differs: nothing known.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from nas.predictors.predictor import Prediction, Standardiser, feature_rows, fitted, training_data


class _Fitted(NamedTuple):
    standardise: Standardiser
    intercept: float
    weights: np.ndarray
    covariance: np.ndarray
    noise: float
    rows: int


@dataclass(kw_only=True)
class Ridge:
    """Linear in the standardised features.

    The standard deviation is that of a new target: noise, estimated from the leave-one-out errors, and leverage, so
    that it grows with the distance from the training rows.

    Attributes:
        penalties: Candidates, each for the mean squared error; one alone is taken as it is.
        seed: Not used; every predictor has one.
    """

    penalties: tuple[float, ...] = tuple(10.0 ** (exponent / 4) for exponent in range(-20, 13))
    seed: int = 0
    _state: _Fitted | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0:
            raise ValueError(f"penalties is {self.penalties}; it must hold at least one number above 0")

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        x, y = training_data(features, targets)
        standardise = Standardiser.of(x)
        intercept = float(y.mean())
        left, singular, right = np.linalg.svd(standardise(x), full_matrices=False)
        projected = left.T @ (y - intercept)
        best = (np.inf, 0.0, np.zeros(0))
        for penalty in self.penalties:
            shrunk = singular**2 / (singular**2 + penalty * len(x))
            residuals = y - intercept - left @ (shrunk * projected)
            leverage = 1 / len(x) + left**2 @ shrunk
            error = float(np.mean((residuals / np.maximum(1 - leverage, 1e-9)) ** 2))
            if error < best[0]:
                best = (error, penalty * len(x), leverage)
        error, penalty, leverage = best
        weights = right.T @ (singular / (singular**2 + penalty) * projected)
        # only the penalty decides what the rows do not span
        spanned = right.T @ np.diag(1 / (singular**2 + penalty) - 1 / penalty) @ right
        covariance = np.eye(len(weights)) / penalty + spanned
        # a row left out has leverage h / (1 - h), so its squared error is the noise times 1 / (1 - h)
        noise = (error / float(np.mean(1 / np.maximum(1 - leverage, 1e-9)))) ** 0.5
        self._state = _Fitted(standardise, intercept, weights, covariance, noise, len(x))
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        state = fitted(self._state)
        x = state.standardise(feature_rows(features, columns=len(state.weights)))
        leverage = 1 / state.rows + ((x @ state.covariance) * x).sum(1)
        return Prediction(state.intercept + x @ state.weights, state.noise * np.sqrt(1 + leverage))
