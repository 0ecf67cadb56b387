"""Groups of choices that disagree least: the best cut of a matrix of distances, found by trying every one.

Paper: GM-NAS, arXiv 2203.15207; sizes are those of the released code for two groups.
Differs: the released loops for three groups add up cuts that belong to different partitions, and one for two groups
compares a cut with a sum inside groups; this is a clean enumeration.
"""

from collections.abc import Iterator
from itertools import combinations
from math import fsum
from typing import Literal

import numpy as np

Groups = tuple[tuple[int, ...], ...]
Sizes = Literal["balanced", "any"]


def partition(distances: np.ndarray, groups: int, sizes: Sizes = "balanced") -> Groups:
    """Return the groups with the smallest sum of distances inside them, which is the largest sum between them.

    Among equally good ones the first counts, in lexicographic order of the group numbers of 0, 1, and so on; groups are
    numbered in the order in which they first appear.

    Args:
        distances: Symmetric [n, n].
        groups: How many.
        sizes: `balanced` (see `allowed_sizes`), or `any` sizes of at least one.

    Raises:
        ValueError: There are more groups than rows, fewer than one, or a distance is not finite.
    """
    n = len(distances)
    if not 1 <= groups <= n:
        raise ValueError(f"groups must be from 1 to the number of choices, {n}, got {groups}")
    if not np.isfinite(distances).all():
        raise ValueError("distances must be finite to be partitioned")
    allowed = allowed_sizes(n, groups) if sizes == "balanced" else None
    found: tuple[float, Groups] | None = None
    for candidate in _partitions(n, groups):
        if allowed is not None and tuple(sorted(map(len, candidate))) not in allowed:
            continue
        within = sum_within(distances, candidate)
        if found is None or within < found[0]:
            found = (within, candidate)
    assert found is not None
    return found[1]


def allowed_sizes(n: int, groups: int) -> set[tuple[int, ...]]:
    """Return the sizes of balanced groups of `n` choices, each combination sorted.

    Two groups: the smaller has at least two members, one where there are three choices or fewer. More groups: as
    equal as possible.
    """
    if groups == 2:
        return {(size, n - size) for size in range(1 if n <= 3 else 2, n // 2 + 1)}
    small, larger = divmod(n, groups)
    return {(small,) * (groups - larger) + (small + 1,) * larger}


def sum_within(distances: np.ndarray, groups: Groups) -> float:
    """Return the sum of the distances of all pairs inside groups, rounded once, so that no order of adding matters."""
    return fsum(float(distances[i, j]) for group in groups for i, j in combinations(group, 2))


def sum_of_pairs(distances: np.ndarray) -> float:
    """Return the sum of the distances of all pairs."""
    return sum_within(distances, (tuple(range(len(distances))),))


def _partitions(n: int, groups: int) -> Iterator[Groups]:
    """Yield every way to put 0 to n - 1 into so many groups, none of them empty."""

    def extend(labels: tuple[int, ...], used: int) -> Iterator[tuple[int, ...]]:
        if groups - used > n - len(labels):
            return  # too few are left to open the missing groups
        if len(labels) == n:
            yield labels
            return
        for label in range(min(used + 1, groups)):
            yield from extend((*labels, label), max(used, label + 1))

    for labels in extend((), 0):
        yield tuple(tuple(i for i, label in enumerate(labels) if label == group) for group in range(groups))
