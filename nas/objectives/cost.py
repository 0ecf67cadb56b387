"""Exactly computable costs of an architecture."""

from math import inf

import numpy as np

from nas.objectives.objective import Computed, Role
from search_spaces import Architecture, Space
from search_spaces.costs import UNITS
from search_spaces.listing import can_be_listed, listed
from supernets.estimate import Estimate


class Cost(Computed):
    """One of the costs that a space computes; never measured or predicted.

    Args:
        space: Any space with exact costs.
        name: Name of the cost, such as `params` (count) or `macs` (multiply-accumulates of one input).
    """

    maximise = False
    role: Role = "cost"

    def __init__(self, space: Space, name: str) -> None:
        known = space.costs([space.smallest(), space.largest()])
        if set(space.cost_names) - {*UNITS, *space.unordered} and can_be_listed(
            space
        ):  # little of one cost may be much of another
            known = space.costs(listed(space))
        self.space, self.name, self.unit = space, name, known.units[name]
        ends = known[name]
        self.low, self.high = (0.0, inf) if name in space.unordered else (float(ends.min()), float(ends.max()))

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return Estimate(self.evaluate_encodings(self.space.encode(architecture)[None])[0].item())

    def evaluate_encodings(self, encodings: np.ndarray) -> np.ndarray:
        """Return the costs [N] of encodings [N, D]."""
        return self.space.costs(encodings)[self.name]


def costs_of(space: Space) -> list[Cost]:
    """Return all costs that a space computes, by name."""
    return [Cost(space, name) for name in sorted(space.cost_names)]
