"""The order of evaluated candidates by one or several objectives."""

import moocore
import numpy as np


def best_first(losses: np.ndarray, violations: np.ndarray) -> np.ndarray:
    """Return the order [N] of candidates with losses [N, K]; equal ones keep their order.

    It is by violation, then by the one loss, or by non-dominated rank and crowding where losses are several.
    """
    if losses.shape[1] == 1:
        return np.lexsort((losses[:, 0], violations))
    return np.lexsort(rank_and_crowding(losses, violations).T[::-1])


def rank_and_crowding(losses: np.ndarray, violations: np.ndarray) -> np.ndarray:
    """Return violation, non-dominated rank and negative crowding distance [N, 3]: the lower, the better, in this order.

    Args:
        losses: Objectives to minimise [N, K].
        violations: How far each candidate is outside the hard limits [N].
    """
    keys = np.stack([violations, np.full(len(losses), np.inf), np.zeros(len(losses))], axis=1)
    feasible = np.flatnonzero((violations <= 0) & np.isfinite(losses).all(axis=1))
    if len(feasible):
        ranks = moocore.pareto_rank(losses[feasible])
        keys[feasible, 1] = ranks
        for rank in np.unique(ranks):
            front = feasible[ranks == rank]
            keys[front, 2] = -crowding(losses[front])
    return keys


def crowding(losses: np.ndarray) -> np.ndarray:
    """Return crowding distances [N] of the points [N, K] of one front; infinite at its ends."""
    distances = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distances[order[[0, -1]]] = np.inf
        if span > 0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distances
