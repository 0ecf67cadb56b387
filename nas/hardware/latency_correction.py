"""What the sum of block latencies misses, learned from a few networks measured whole.

A network is more than the sum of its blocks: each block was measured with its weights in the cache and with a call of
its own, and a backend joins or drops operations that it sees together. A model learns the ratio of the measured latency
to the sum, linear in the content of a millisecond of the network: calls, layers, multiply-accumulates, weights, feature
maps, resolutions. A ridge penalty, chosen by leave-one-out error, decides how far the model is followed; with the
largest penalty only the mean ratio is left.

Intervals are those of the jackknife: quantiles of the errors on networks left out of the fit, each in units of the
standard deviation that the ridge gives it, so that networks unlike those measured have wider ones.
"""

from math import ceil

import numpy as np

from nas.predictors.ridge import Ridge
from supernets.estimate import Estimate

MIN_NETWORKS = 8
_LEVEL = 0.95
_OUTLIER = 3.0  # robust standard deviations
_MOST_OUTLIERS = 0.1
_PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-6, 9))


class LatencyCorrection:
    """A correction fitted to networks that were measured whole.

    Args:
        totals: Totals of each network [N, 1 + K]: first the sum of its blocks' latencies in ms, then what may explain
            the difference.
        measured_ms: Latency of each whole network [N].

    Raises:
        ValueError: There are fewer than `MIN_NETWORKS` networks.
    """

    def __init__(self, totals: np.ndarray, measured_ms: np.ndarray) -> None:
        if len(totals) < MIN_NETWORKS:
            raise ValueError(f"a correction needs at least {MIN_NETWORKS} networks measured whole, got {len(totals)}")
        shares, ratios = _shares(totals), measured_ms / totals[:, 0]
        kept = _inliers(_left_out(shares, ratios)[0])
        errors, scores = _left_out(shares, ratios, kept)
        self.outliers = int((~kept).sum())
        self.error_percent = float(100 * np.median(np.abs(errors)))
        rank = min(ceil(_LEVEL * (len(scores) + 1)), len(scores))
        self._reach = float(np.sort(scores)[rank - 1])
        self._ridge = _fitted(shares[kept], ratios[kept])

    def predict(self, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the latency [M] in ms of networks with totals [M, 1 + K], and the ends of its 95% interval."""
        predicted = self._ridge.predict(_shares(totals))
        assert predicted.std is not None
        sums = totals[:, 0]
        ratio = np.maximum(predicted.mean, 0.0)
        reach = self._reach * predicted.std
        return sums * ratio, sums * np.maximum(ratio - reach, 0.0), sums * (ratio + reach)

    def estimate(self, totals: np.ndarray) -> Estimate:
        """Return the relative error and its predicted deviation for one network [1 + K]."""
        return Estimate(*(float(column[0]) for column in self.predict(totals[None])))


def _shares(totals: np.ndarray) -> np.ndarray:
    return totals[:, 1:] / totals[:, :1]


def _fitted(shares: np.ndarray, ratios: np.ndarray) -> Ridge:
    return Ridge(penalties=_PENALTIES).fit(shares, ratios)


def _left_out(shares: np.ndarray, ratios: np.ndarray, kept: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the relative error [N] of each network predicted from the others (those kept), and its size in predicted
    standard deviations [N]."""
    kept = np.ones(len(ratios), dtype=bool) if kept is None else kept
    errors, scores = np.empty(len(ratios)), np.empty(len(ratios))
    for i in range(len(ratios)):
        others = kept & (np.arange(len(ratios)) != i)
        predicted = _fitted(shares[others], ratios[others]).predict(shares[i : i + 1])
        assert predicted.std is not None
        error = ratios[i] - predicted.mean[0]
        errors[i] = error / ratios[i]
        scores[i] = abs(error) / max(float(predicted.std[0]), 1e-12)
    return errors, scores


def _inliers(errors: np.ndarray) -> np.ndarray:
    """Return which networks [N] are not outliers; at most a tenth of them count as outliers."""
    off = np.abs(errors - np.median(errors))
    limit = _OUTLIER * 1.4826 * np.median(off)
    most = int(_MOST_OUTLIERS * len(off))
    if most:
        limit = max(limit, float(np.sort(off)[-most - 1]))
    else:
        limit = np.inf
    return off <= limit
