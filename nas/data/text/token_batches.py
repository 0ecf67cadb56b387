"""Batches of about as many tokens, of rows of about the same length."""

from __future__ import annotations

import numpy as np


def token_batches(
    lengths: np.ndarray, costs: np.ndarray, count: int, *, least: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Return so many batches in random order that hold every example once.

    Examples are ordered by length, those of one length at random, and cut where an equal share of the costs is
    reached. So batches of short rows hold more of them, little is padding, and the number of batches of an epoch does
    not depend on chance.

    Args:
        lengths: Length of each example, int64 [N].
        costs: Tokens of each example, int64 [N].
        count: Number of batches.
        least: Least number of examples of a batch, at most N / count.
        generator: Random numbers of the epoch.
    """
    order = np.lexsort((generator.random(len(lengths)), lengths))
    parts = np.split(order, equal_cuts(costs[order], count, least=least))
    return [parts[i] for i in generator.permutation(count)]


def equal_cuts(costs: np.ndarray, count: int, *, least: int = 1) -> np.ndarray:
    """Return where to cut a row of examples into parts of about the same cost, int64 [count - 1].

    Args:
        costs: Cost of each example, all more than 0, int64 [N].
        count: Number of parts.
        least: Least number of examples of a part, at most N / count.
    """
    total, size = np.cumsum(costs), len(costs)
    numbers = np.arange(1, count)
    cuts = np.searchsorted(total, numbers * (total[-1] / count), side="right")
    spread = np.maximum.accumulate(cuts - least * numbers)  # at least so many between two cuts
    cuts = np.maximum(spread, 0) + least * numbers
    return np.minimum(cuts, size - least * (count - numbers))
