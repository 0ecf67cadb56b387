"""The first candidates of a search."""

from collections.abc import Callable

import numpy as np

from search_spaces import Space

_DRAWS_PER_CANDIDATE = 64


def initial_encodings(
    space: Space,
    n: int,
    generator: np.random.Generator,
    violation: Callable[[np.ndarray], np.ndarray],
    *,
    extremes: bool,
) -> np.ndarray:
    """Return up to `n` distinct random architectures [n, D] that keep the exactly known limits, where such exist.

    Many more are drawn than needed. Where limits leave too few, those that break them least are added.

    Args:
        space: Space to draw from.
        n: Number of encodings.
        generator: Generator of the draws.
        violation: Exact violations [N] of encodings [N, D].
        extremes: Whether the smallest and the largest architecture stand first, to span the front from the start.
    """
    drawn = space.sample_encodings(n, generator)
    if np.any(violation(drawn) > 0) or len(np.unique(drawn, axis=0)) < n:
        drawn = np.concatenate([drawn, space.sample_encodings(n * _DRAWS_PER_CANDIDATE, generator)])
    if extremes:
        drawn = np.concatenate([[space.encode(space.smallest()), space.encode(space.largest())], drawn])
    _, first = np.unique(drawn, axis=0, return_index=True)
    distinct = drawn[np.sort(first)]
    return distinct[np.argsort(violation(distinct), kind="stable")[:n]]
