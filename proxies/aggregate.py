"""Several scores of a population made one: ranks within the population, so a larger population is ranked anew.

Paper: Lee and Ham, AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search, CVPR 2024, arXiv 2403.19232,
sum over scores of log(rank / m), ranks ascending, ties averaged; Chen et al., TE-NAS, ICLR 2021, arXiv 2102.11535, sum
of ranks.
Differs: TE-NAS ranks what a pruning changes; here complete architectures are ranked. Values that are not finite share
    the worst rank.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def log_rank(columns: Sequence[ArrayLike], *, maximise: Sequence[bool] | None = None) -> NDArray[np.float64]:
    """Return the score of AZ-NAS: sum of log(rank / m), at most 0.

    Args:
        columns: Scores of the same m architectures, one [m] for each proxy.
        maximise: Whether a higher score is better, for each proxy; by default of all.

    Returns:
        [m], higher is better.
    """
    ranks = _all_ranks(columns, maximise)
    return np.log(ranks / ranks.shape[1]).sum(0)


def rank_sum(columns: Sequence[ArrayLike], *, maximise: Sequence[bool] | None = None) -> NDArray[np.float64]:
    """Return the score of TE-NAS: sum of ranks; arguments and result as of `log_rank`."""
    return _all_ranks(columns, maximise).sum(0)


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Return ranks from 1, the lowest value first.

    Ties get their mean, and what is not finite comes before all others.
    """
    numbers = np.asarray(values, dtype=np.float64)
    numbers = np.where(np.isfinite(numbers), numbers, -np.inf)
    _, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]


def _all_ranks(columns: Sequence[ArrayLike], maximise: Sequence[bool] | None) -> NDArray[np.float64]:
    scores = [np.asarray(column, dtype=np.float64) for column in columns]
    if not scores or any(score.ndim != 1 or score.shape != scores[0].shape for score in scores):
        raise ValueError(f"columns are one or more arrays [m] of one length, got {[s.shape for s in scores]}")
    higher = [True] * len(scores) if maximise is None else list(maximise)
    if len(higher) != len(scores):
        raise ValueError(f"maximise: {len(higher)} values for {len(scores)} columns")
    return np.stack([ranks(score if up else -score) for score, up in zip(scores, higher)])
