"""Gaussian process regression, by scikit-learn.

Paper: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1.
Differs: nothing known.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from nas.predictors.predictor import Prediction, Standardiser, feature_rows, fitted, training_data

BATCH_ROWS = 4096


class _Fitted(NamedTuple):
    features: Standardiser
    targets: Standardiser
    regressor: Any


@dataclass(kw_only=True)
class GaussianProcess:
    """Smooth in the standardised features, with one length scale for all of them, and white noise.

    The standard deviation is that of a new target, noise included. Memory and time grow with the square and the cube
    of the training rows: it is made for a few thousand at most.

    Attributes:
        kernel: `matern` (5/2) or `rbf`.
        restarts: Further starting points of the likelihood's maximisation.
        seed: Seed of the starting points.
    """

    kernel: Literal["matern", "rbf"] = "matern"
    restarts: int = 2
    seed: int = 0
    _state: _Fitted | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kernel not in ("matern", "rbf"):
            raise ValueError(f"kernel is {self.kernel!r}; allowed: matern, rbf")
        if self.restarts < 0:
            raise ValueError(f"restarts is {self.restarts}; it must be 0 or more")

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

        x, y = training_data(features, targets)
        scaled_x, scaled_y = Standardiser.of(x), Standardiser.of(y)
        # standardised points lie about sqrt(2 F) apart
        length = {"length_scale": x.shape[1] ** 0.5, "length_scale_bounds": (1e-2, 1e4)}
        smooth = Matern(nu=2.5, **length) if self.kernel == "matern" else RBF(**length)
        kernel = ConstantKernel(1.0, (1e-3, 1e4)) * smooth + WhiteKernel(0.1, (1e-8, 1e2))
        regressor = GaussianProcessRegressor(kernel, n_restarts_optimizer=self.restarts, random_state=self.seed)
        with warnings.catch_warnings():
            # a parameter at its bound is a valid answer: no noise, or no signal
            warnings.simplefilter("ignore")
            regressor.fit(scaled_x(x), scaled_y(y))
        self._state = _Fitted(scaled_x, scaled_y, regressor)
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        state = fitted(self._state)
        x = state.features(feature_rows(features, columns=len(state.features.mean)))
        parts = [
            state.regressor.predict(x[start : start + BATCH_ROWS], return_std=True)
            for start in range(0, len(x), BATCH_ROWS)
        ]
        mean, std = (np.concatenate([part[i] for part in parts]) if parts else np.zeros(0) for i in (0, 1))
        return Prediction(state.targets.mean + state.targets.scale * mean, state.targets.scale * std)
