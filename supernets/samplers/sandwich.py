"""The sandwich rule: the largest, the smallest and random subnets in every step.

Paper: Universally Slimmable Networks, arXiv 1903.05134, section 3; BigNAS, arXiv 2003.11142.
Differs: nothing known.
"""

from dataclasses import dataclass

import numpy as np

from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from supernets.samplers.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class Sandwich(Sampler):
    """Largest first (the others are distilled from it), then random ones, the smallest last.

    Args:
        space: Space to draw from.
        subnets: Architectures of one step, at least 2.
    """

    space: Space
    subnets: int = 4

    distillation = "in_place"
    draws_from_parts = False

    def __post_init__(self) -> None:
        if self.subnets < 2:
            raise FieldError(
                "subnets", f"must be at least 2 for a sandwich, the largest and the smallest, got {self.subnets}"
            )

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        middle = [self.space.sample(generator) for _ in range(self.subnets - 2)]
        return [self.space.largest(), *middle, self.space.smallest()]
