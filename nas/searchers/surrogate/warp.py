"""The scale on which an objective is modelled.

Paper: Snelson et al., Warped Gaussian Processes, NIPS 2003; power transforms of objectives as in Cowen-Rivers et al.,
HEBO: Pushing the Limits of Sample-Efficient Hyperparameter Optimisation, arXiv 2012.03826.
Differs: a shifted logarithm, linear below the best, so that still better losses are not ruled out; the shift is one of
    four, the one that makes the told losses likeliest.
"""

from typing import NamedTuple

import numpy as np

_EXTENTS = (0.3, 1.0, 3.0, 10.0)  # parts of the distance from the best to the median
_FURTHEST = 50.0  # exponent


class Warp(NamedTuple):
    """Losses on a scale that is logarithmic above the best of them and linear below it.

    So very large losses neither bend a model nor hide differences among the good ones. Where errors grow with the loss,
    as those of latencies do, small losses are resolved exactly.

    Attributes:
        best: The least loss seen.
        extent: How far above it the scale is nearly linear.
    """

    best: float
    extent: float

    @classmethod
    def of(cls, losses: np.ndarray, share: float = 1.0) -> "Warp":
        """Return the scale of losses [N]; `share` is the extent as a part of that from the best to the median."""
        best = float(losses.min())
        span = max(float(np.median(losses)) - best, float(np.subtract(*np.quantile(losses, [0.75, 0.25]))) / 2)
        if span <= 1e-12 * max(1.0, abs(best)):
            span = max(float(losses.std()), 1e-12)
        return cls(best, share * span)

    @classmethod
    def candidates(cls, losses: np.ndarray) -> "list[Warp]":
        """Return scales to choose from, from much bent to nearly linear."""
        return [cls.of(losses, share) for share in _EXTENTS]

    def __call__(self, losses: np.ndarray) -> np.ndarray:
        above = (losses - self.best) / self.extent
        return np.where(above < 0, above, np.log1p(np.maximum(above, 0)))

    def back(self, z: np.ndarray) -> np.ndarray:
        return self.best + self.extent * np.where(z < 0, z, np.expm1(np.clip(z, 0, _FURTHEST)))

    def slope(self, losses: np.ndarray) -> np.ndarray:
        """Return the derivative [N] at losses [N]."""
        return 1 / (self.extent + np.maximum(losses - self.best, 0))
