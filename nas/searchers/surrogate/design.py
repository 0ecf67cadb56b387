"""The first architectures of a search, spread over cost."""

from collections.abc import Collection

import numpy as np

from nas.searchers.surrogate.candidates import Candidates
from search_spaces import Space

_DRAWN = 1024
_STRATUM = 32  # candidates of a stratum among which one is chosen


def first_pool(
    space: Space, candidates: Candidates, generator: np.random.Generator, excluded: Collection[bytes]
) -> np.ndarray:
    """Return random architectures that may be proposed, and the smallest and the largest where they may [P, D]."""
    ends = np.stack([space.encode(space.smallest()), space.encode(space.largest())])
    pool = np.concatenate(
        [candidates.allowed(ends, excluded), candidates.random(_DRAWN, generator, excluded)],
    )
    _, first = np.unique(pool, axis=0, return_index=True)
    return pool[np.sort(first)]


def spread(pool: np.ndarray, costs: np.ndarray, n: int, active: np.ndarray) -> np.ndarray:
    """Return rows [n] of a pool [P, D], one for each stratum of cost [P], each the farthest from those chosen before.

    The position of an architecture is the mean of its rank and its place between the least and the greatest cost:
    random architectures crowd at middle cost, and a front does not.
    """
    n = min(n, len(pool))
    ranks = np.argsort(np.argsort(costs, kind="stable"), kind="stable") / max(1, len(pool) - 1)
    width = float(np.ptp(costs))
    place = (ranks + (costs - costs.min()) / width) / 2 if width > 0 else ranks
    order = np.argsort(place, kind="stable")
    centres = np.linspace(0, 1, n)
    nearest = np.full(len(pool), np.inf)
    chosen: list[int] = []
    for centre in centres[np.argsort(np.abs(centres - 0.5), kind="stable")[::-1]]:  # the ends first
        free = order[np.isfinite(place[order])]
        stratum = free[np.argsort(np.abs(place[free] - centre), kind="stable")[: _STRATUM if 0 < centre < 1 else 1]]
        pick = int(stratum[np.argmax(nearest[stratum])])
        chosen.append(pick)
        place[pick] = np.inf
        differing = ((pool != pool[pick]) | (active != active[pick])).sum(axis=1)
        nearest = np.minimum(nearest, differing)
    return np.array(chosen, dtype=int)
