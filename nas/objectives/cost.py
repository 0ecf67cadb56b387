"""Exactly computable costs of an architecture."""

from typing import Literal

import numpy as np

from search_spaces import Architecture, Space
from supernets.estimate import Estimate


class Cost:
    """Parameters or multiply-accumulates, as the space computes them; never measured or predicted.

    Args:
        space: Any space with exact costs.
        name: `params` (count) or `macs` (multiply-accumulates of one input).
    """

    maximise = False

    def __init__(self, space: Space, name: Literal["params", "macs"]) -> None:
        self.space = space
        self.name: str = name
        self.unit: str = {"params": "weights", "macs": "MACs"}[name]

    def evaluate(self, architecture: Architecture) -> Estimate:
        return Estimate(int(self.evaluate_encodings(self.space.encode(architecture)[None])[0]))

    def evaluate_encodings(self, encodings: np.ndarray) -> np.ndarray:
        """Costs [N] of encodings [N, D]."""
        return getattr(self.space.costs(encodings), self.name)
