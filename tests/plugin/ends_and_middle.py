"""A sampler: the largest teaches the smallest and one in between."""

from dataclasses import dataclass

import numpy as np

from search_spaces import Architecture, Space
from supernets import Sampler


@dataclass(frozen=True, kw_only=True)
class EndsAndMiddle(Sampler):
    """Largest, random, smallest; distilled in place.

    Args:
        space: Where to draw from.
        middle: Random architectures of one step.
    """

    space: Space
    middle: int = 1

    distillation = "in_place"

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        between = [self.space.sample(generator) for _ in range(self.middle)]
        return [self.space.largest(), *between, self.space.smallest()]
