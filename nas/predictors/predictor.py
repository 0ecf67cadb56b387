"""The protocol of predictors, and what all of them ask of their data."""

from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np

MIN_ROWS = 3
State = TypeVar("State")


@dataclass(frozen=True)
class Prediction:
    """The predictions for M architectures.

    Attributes:
        mean: Expected target [M], or a score of which only the order is meaningful where the predictor says so.
        std: Standard deviation [M] in the unit of `mean`; None where the predictor does not give one.
    """

    mean: np.ndarray
    std: np.ndarray | None = None


class Predictor(Protocol):
    """A predictor learns from a few evaluated architectures and judges many others.

    The constructor is the configuration, its seed included. Call order: `fit`, then `predict` as often as wanted;
    another `fit` forgets the one before. Fitted on the same data with the same configuration, a predictor predicts the
    same, and the prediction of a row does not depend on the rows beside it.
    """

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        """Learn targets [N], in either direction, from features [N, F]; N is at least 3.

        Raises:
            ValueError: Shapes do not fit, there are too few rows, or a value is not finite.
        """
        ...

    def predict(self, features: np.ndarray) -> Prediction:
        """Return the mean [M] and, where known, standard deviation [M] for features [M, F].

        Raises:
            ValueError: The columns are not those of `fit`, or a value is not finite.
            RuntimeError: Nothing was fitted yet.
        """
        ...


@dataclass(frozen=True)
class Standardiser:
    """Scaling of columns to mean 0 and standard deviation 1, as seen in training; constant ones become 0."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Return the statistics of each column of values [N, F], or of values [N]."""
        mean, scale = values.mean(0), values.std(0)
        # rounding leaves a constant column with a standard deviation of about 1e-16 of its value
        return cls(mean, np.where(scale > 1e-12 * np.abs(mean), scale, 1.0))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.scale


def training_data(
    features: np.ndarray, targets: np.ndarray, *, nan_allowed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return features [N, F] and targets [N] as float64, checked."""
    x, y = feature_rows(features, nan_allowed=nan_allowed), np.asarray(targets, dtype=np.float64)
    if y.shape != (len(x),):
        raise ValueError(f"targets have shape {list(y.shape)}; {len(x)} rows of features need targets [{len(x)}]")
    if len(x) < MIN_ROWS:
        raise ValueError(f"{len(x)} rows are too few to fit; at least {MIN_ROWS} are needed")
    wrong = np.flatnonzero(~np.isfinite(y))
    if len(wrong):
        raise ValueError(f"targets: {len(wrong)} of {len(y)} are not finite, the first is {y[wrong[0]]} at {wrong[0]}")
    return x, y


def feature_rows(features: np.ndarray, *, columns: int | None = None, nan_allowed: bool = False) -> np.ndarray:
    """Return features [M, F] as float64, checked; with `columns`, F must be that many."""
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"features have shape {list(x.shape)}; they must be rows and columns [M, F]")
    if columns is not None and x.shape[1] != columns:
        raise ValueError(f"features have {x.shape[1]} columns; the predictor was fitted with {columns}")
    wrong = np.argwhere(np.isinf(x) if nan_allowed else ~np.isfinite(x))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"features: {len(wrong)} values are not finite, the first is {x[row, column]} in row {row}, column {column}"
        )
    return x


def fitted(state: State | None) -> State:
    """Return what `fit` has learned.

    Raises:
        RuntimeError: Nothing was fitted.
    """
    if state is None:
        raise RuntimeError("predict was called before fit")
    return state
