"""Architectures of a space as numbers from 0 to 1, for whoever needs few inputs of one range, such as a router."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.architecture import Architecture, Decision

if TYPE_CHECKING:
    from search_spaces.space import Space

_DRAWS = 1000
_KEPT = 1 << 12


class ScaledFeatures:
    """The numbers of architectures of a space; how many there are, and their range, follow from the space.

    They are the `traits` of the space where it has any. Traits outside of [0, 1] are scaled by the least and the
    largest value among the ends of the space and random architectures. Other spaces have one number for each decision
    that leaves a choice: 0 for the least choice and 1 for the largest, in proportion between; choices that are not
    numbers count by their place. Decisions that are inactive are 0.

    Args:
        space: The space. The numbers of an architecture are the same in every part of it.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._known = lru_cache(_KEPT)(self._row)

    def __deepcopy__(self, memo: dict) -> ScaledFeatures:
        return self  # nothing in it changes

    def __reduce__(self) -> tuple[type[ScaledFeatures], tuple[Space]]:
        return ScaledFeatures, (self.space,)

    @cached_property
    def number(self) -> int:
        """How many numbers there are, at least 1."""
        return len(self(self.space.largest()))

    def __call__(self, architecture: Architecture) -> np.ndarray:
        """Return the numbers of an architecture, float32 [F]; they must not be changed."""
        return self._known(architecture)

    def of(self, encodings: np.ndarray) -> np.ndarray:
        """Return the numbers of canonical encodings [N, D], float32 [N, F]."""
        if self.space.traits is None:
            found = self._of_decisions(encodings)
        else:
            low, high = self._range
            found = (self.space.traits_of(encodings) - low) / (high - low)
        if found.shape[1] == 0:
            found = np.full((len(encodings), 1), 0.5)
        return np.clip(found, 0, 1).astype(np.float32)

    def _row(self, architecture: Architecture) -> np.ndarray:
        return self.of(self.space.encode(architecture)[None])[0]

    def _of_decisions(self, encodings: np.ndarray) -> np.ndarray:
        active = self.space.active(encodings)
        free = [place for place, decision in enumerate(self.space.decisions) if len(decision.choices) > 1]
        columns = [_scaled(self.space.decisions[place])[encodings[:, place]] * active[:, place] for place in free]
        return np.stack(columns, axis=1) if columns else np.zeros((len(encodings), 0))

    @cached_property
    def _range(self) -> tuple[np.ndarray, np.ndarray]:
        """The values of traits that become 0 and 1, each [F]."""
        drawn = self.space.sample_encodings(_DRAWS, np.random.default_rng(0))
        ends = [self.space.encode(one) for one in (self.space.smallest(), self.space.largest())]
        traits = self.space.traits_of(np.concatenate([drawn, ends]))
        low, high = traits.min(0), traits.max(0)
        fits = (low >= 0) & (high <= 1)
        low, high = np.where(fits, 0, low), np.where(fits, 1, high)
        return low, np.where(high > low, high, low + 1)


def _scaled(decision: Decision) -> np.ndarray:
    """Return the number of each choice."""
    values = [choice for choice in decision.choices if isinstance(choice, int | float)]
    if len(values) < len(decision.choices):
        values = list(range(len(decision.choices)))
    numbers = np.array(values, dtype=float)
    low, high = numbers.min(), numbers.max()
    return (numbers - low) / max(high - low, np.finfo(float).tiny)
