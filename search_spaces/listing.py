"""All members of a small space."""

import numpy as np

from search_spaces.space import Space

_LISTED = 2**16  # combinations of choices


def can_be_listed(space: Space) -> bool:
    """Return whether a space is so small that its members can be listed."""
    return space.members() is not None or float(np.prod(space.choice_counts.astype(float))) <= _LISTED


def listed(space: Space) -> np.ndarray:
    """Return all members of a small space, once each [M, D], in a fixed order."""
    if (known := space.members()) is not None:
        return known
    counts = space.choice_counts
    rows = np.stack(np.unravel_index(np.arange(int(np.prod(counts))), counts), axis=1).astype(np.int64)
    return np.unique(space.canonical(rows[space.valid(rows)]), axis=0)
