"""Expected gain of hypervolume in closed form, for objectives with independent beliefs.

Paper: Emmerich et al., Single- and multiobjective evolutionary optimization assisted by Gaussian random field
metamodels, IEEE TEC 10(4), 2006; over boxes as in Yang et al., Efficient computation of expected hypervolume
improvement using box decomposition algorithms, arXiv 1904.12672.
Differs: a belief is a few weighted values, so that any distribution may be behind it and exact objectives are a single
value; boxes come from slicing one objective after the other, which for up to three objectives is small enough.
"""

from itertools import pairwise
from typing import NamedTuple

import moocore
import numpy as np

_ENTRIES = 4_000_000  # candidates x boxes held at a time


class Outcomes(NamedTuple):
    """Possible results of M candidates in one objective: values [M, Q], with weights [Q] that sum to 1."""

    values: np.ndarray
    weights: np.ndarray


class Front:
    """The points that candidates must improve on.

    Args:
        points: Losses [N, K]; those not better than the reference in every objective count for nothing.
        reference: The worst losses that still count [K].
        ideal: Losses [K] that scale the objectives; better ones may well exist.
    """

    def __init__(self, points: np.ndarray, reference: np.ndarray, ideal: np.ndarray) -> None:
        self.reference, self.ideal = reference, ideal
        self._span = np.maximum(reference - ideal, 1e-12)
        points = points[(points < reference).all(axis=1)].reshape(-1, len(reference))
        if len(points):
            points = np.unique(points[moocore.is_nondominated(points, keep_weakly=False)], axis=0)
        self.points = points
        self._lower, self._upper, self._levels = self._boxes()

    def volume(self) -> float:
        """Return the hypervolume, where that of the box from ideal to reference is 1."""
        if not len(self.points):
            return 0.0
        return float(moocore.hypervolume((self.points - self.ideal) / self._span, ref=np.ones(len(self._span))))

    def extended(self, point: np.ndarray) -> "Front":
        """Return the front with another point [K]."""
        return Front(np.concatenate([self.points, point[None]]), self.reference, self.ideal)

    def gains(self, outcomes: list[Outcomes]) -> np.ndarray:
        """Return expected gain [M] of each candidate alone, in the unit of `volume`."""
        below = []
        for (values, weights), levels, ideal, span in zip(outcomes, self._levels, self.ideal, self._span):
            scaled, scaled_levels = (values - ideal) / span, (levels - ideal) / span
            reached = np.zeros((len(values), len(levels)))
            for i in range(len(weights)):
                reached += weights[i] * np.maximum(scaled_levels - scaled[:, i : i + 1], 0.0)
            below.append(reached)
        gains = np.zeros(len(below[0]))
        step = max(1, _ENTRIES // max(1, len(self._lower)))
        for start in range(0, len(gains), step):
            rows = slice(start, start + step)
            product = np.ones((len(gains[rows]), len(self._lower)))
            for k, reached in enumerate(below):
                product *= reached[rows][:, self._upper[:, k]] - reached[rows][:, self._lower[:, k]]
            gains[rows] = product.sum(axis=1)
        return gains

    def _boxes(self) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Return boxes over what is not dominated: indices of their lower and upper levels [B, K], and the levels."""
        levels = [
            np.unique(np.concatenate([[-np.inf, worst], column]))
            for column, worst in zip(self.points.T, self.reference)
        ]
        ranks = np.stack([np.searchsorted(own, column) for own, column in zip(levels, self.points.T)], axis=1)
        found = _sliced(ranks.reshape(-1, len(levels)), np.array([len(own) - 1 for own in levels]))
        return found[:, 0], found[:, 1], levels


def _sliced(points: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return boxes [B, 2, K] below level `last` [K] that no point [N, K] of levels dominates; level 0 has no end."""
    if points.shape[1] == 1:
        top = min(int(points.min()), int(last[0])) if len(points) else int(last[0])
        return np.array([[[0], [top]]]) if top > 0 else np.zeros((0, 2, 1), dtype=int)
    edges = np.unique(np.concatenate([[0, last[-1]], points[:, -1]]))
    parts = []
    for low, high in pairwise(edges.tolist()):
        within = points[points[:, -1] <= low][:, :-1]
        if len(within) > 1:
            within = np.unique(within[moocore.is_nondominated(within, keep_weakly=False)], axis=0)
        boxes = _sliced(within, last[:-1])
        slab = np.broadcast_to(np.array([low, high])[None, :, None], (len(boxes), 2, 1))
        parts.append(np.concatenate([boxes, slab], axis=2))
    return np.concatenate(parts) if parts else np.zeros((0, 2, points.shape[1]), dtype=int)
