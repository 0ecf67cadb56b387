"""The predictor of LINAS: ridge or support vector regression, whichever is better in cross-validation.

Paper: Sarah et al., A Hardware-Aware System for Accelerating Deep Neural Network Optimization, arXiv 2202.12954, and
its released successor. Targets are divided by a power of ten; ridge with penalties 0.1 to 10 in steps of 0.1 and
support vectors with a radial kernel, width of one over the number of features, no tube and costs 1 to 100 in steps of 1
are each chosen by the mean absolute percentage error over five folds, and the better of them is fitted to all rows.
Differs: with fewer than five rows there are as many folds. The errors of all penalties of a fold come from one
decomposition, and the kernel is computed once; both change nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import floor, log10
from typing import Any, NamedTuple, Self

import numpy as np

from nas.predictors.predictor import Prediction, feature_rows, fitted, training_data

_EPSILON = float(np.finfo(np.float64).eps)  # least denominator of a percentage error


class _Linear(NamedTuple):
    """Ridge regressions of P penalties."""

    centre: np.ndarray
    weights: np.ndarray
    level: float

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return predictions [M, P] of rows [M, F]."""
        return self.level + (rows - self.centre) @ self.weights


class _Radial(NamedTuple):
    """Support vectors."""

    rows: np.ndarray
    weights: np.ndarray
    level: float

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return predictions [M, 1] of rows [M, F]."""
        return self.level + _radial(rows, self.rows) @ self.weights


class _Fitted(NamedTuple):
    columns: int
    scale: float
    model: _Linear | _Radial


@dataclass(kw_only=True)
class RidgeOrSVR:
    """A linear or a radial model, as the rows suggest; it does not predict its uncertainty.

    Attributes:
        penalties: Candidate penalties of ridge regression.
        costs: Candidate costs of support vector regression.
        folds: Folds of the cross-validation, at least 2; consecutive rows are held out together.
        seed: Not used; every predictor has one.
    """

    penalties: tuple[float, ...] = tuple(step / 10 for step in range(1, 101))
    costs: tuple[float, ...] = tuple(float(cost) for cost in range(1, 101))
    folds: int = 5
    seed: int = 0
    _state: _Fitted | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, values in (("penalties", self.penalties), ("costs", self.costs)):
            if not values or min(values) <= 0:
                raise ValueError(f"{name} is {values}; it must hold at least one number above 0")
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, got {self.folds}")

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        x, y = training_data(features, targets)
        scale = label_scale(y)
        y = y / scale
        held_out = np.array_split(np.arange(len(x)), min(self.folds, len(x)))
        kernel = _radial(x, x)
        ridge, ridge_error = self._best(self.penalties, held_out, y, lambda *rows: self._ridge_fold(x, y, *rows))
        cost, svr_error = self._best(self.costs, held_out, y, lambda *rows: self._svr_fold(kernel, y, *rows))
        if ridge_error <= svr_error:
            self._state = _Fitted(x.shape[1], scale, _ridge(x, y, np.array([ridge])))
        else:
            support, weights, level = _svr(kernel, y, cost)
            self._state = _Fitted(x.shape[1], scale, _Radial(x[support], weights[:, None], level))
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        state = fitted(self._state)
        x = feature_rows(features, columns=state.columns)
        return Prediction(state.scale * state.model.predict(x)[:, 0])

    def _best(
        self,
        candidates: tuple[float, ...],
        held_out: list[np.ndarray],
        y: np.ndarray,
        fold: Callable[[np.ndarray, np.ndarray], np.ndarray],
    ) -> tuple[float, float]:
        """Return the candidate of the least error and this error; of equal ones the first."""
        errors = np.zeros(len(candidates))
        for out in held_out:
            within = np.setdiff1d(np.arange(len(y)), out)
            off = np.abs(fold(within, out) - y[out, None])
            errors += (off / np.maximum(np.abs(y[out, None]), _EPSILON)).mean(axis=0) / len(held_out)
        best = int(np.argmin(errors))
        return candidates[best], float(errors[best])

    def _ridge_fold(self, x: np.ndarray, y: np.ndarray, within: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Return predictions [M, candidates] of the rows held out."""
        return _ridge(x[within], y[within], np.array(self.penalties)).predict(x[out])

    def _svr_fold(self, kernel: np.ndarray, y: np.ndarray, within: np.ndarray, out: np.ndarray) -> np.ndarray:
        import sklearn  # takes long to import

        inner, outer = kernel[np.ix_(within, within)], kernel[np.ix_(out, within)]
        with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
            fits = [_svr(inner, y[within], cost) for cost in self.costs]
        return np.stack([level + outer[:, support] @ weights for support, weights, level in fits], axis=1)


def label_scale(targets: np.ndarray) -> float:
    """Return the power of ten that targets [N] are divided by, so that the largest has two digits before the point."""
    largest = float(np.abs(targets).max())
    return 10.0 ** (floor(log10(largest)) - 1) if largest > 0 else 1.0


def _ridge(x: np.ndarray, y: np.ndarray, penalties: np.ndarray) -> _Linear:
    centre, level = x.mean(axis=0), float(y.mean())
    left, singular, right = np.linalg.svd(x - centre, full_matrices=False)
    shrunk = singular[:, None] / (singular[:, None] ** 2 + penalties)
    return _Linear(centre, right.T @ (shrunk * (left.T @ (y - level))[:, None]), level)


def _svr(kernel: np.ndarray, y: np.ndarray, cost: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return which rows are support vectors [S], their weights [S] and the constant, from the kernel [N, N]."""
    from sklearn.svm import SVR  # takes long to import

    model: Any = SVR(kernel="precomputed", C=cost, epsilon=0.0)
    model.random_state = 0  # it decides nothing, but would be drawn from the global state
    model.fit(kernel, y)
    return model.support_, model.dual_coef_[0], float(model.intercept_[0])


def _radial(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the radial kernel [M, N] of rows [M, F] and [N, F], its width one over the number of features."""
    squares = (rows**2).sum(axis=1)[:, None] + (x**2).sum(axis=1) - 2 * rows @ x.T
    return np.exp(-np.maximum(squares, 0) / x.shape[1])
