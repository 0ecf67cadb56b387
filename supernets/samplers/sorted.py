"""Nested subnets: every dimension keeps its first units, from the smallest network to the whole one.

Paper: SortedNet, arXiv 2309.00255: nested sub-models are drawn at random, gradients are accumulated, one update.
Differs: no readable code was released. All sub-models of a step see the same batch, and the loss is divided
by their number; the paper leaves both open. Dimensions are the decisions of a space, whose choices are listed cheapest
first: a truncation point is a part from 0 to 1 of every list, so the sub-models form one chain. The whole network is
among them. In a space of operations instead of sizes the chain is a chain of costs and nothing is nested.
"""

from dataclasses import dataclass, field

import numpy as np

from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from supernets.samplers.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class Sorted(Sampler):
    """`subnets` draws a step, uniform over the truncation points.

    Args:
        space: Space to draw from; choices are listed cheapest first.
        subnets: Draws that make one step, the same point possibly twice.
        points: Truncation points, at least 2; `null` for as many as the decision with the most choices has.
    """

    space: Space
    subnets: int = 4
    points: int | None = None

    average_losses = True
    draws_from_parts = False

    nested: tuple[Architecture, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.points is not None and self.points < 2:
            raise FieldError("points", f"must be at least 2, the smallest and the whole network, got {self.points}")
        if self.space.fold is not None:
            raise FieldError("space", f"must have free choices for nested subnets; {self.space.name} has not")
        points = self.points or max(2, int(self.space.choice_counts.max()))
        parts = [point / (points - 1) for point in range(points)]
        rows = [np.floor(part * (self.space.choice_counts - 1) + 0.5).astype(np.int64) for part in parts]
        object.__setattr__(self, "nested", tuple(self.space.decode(row) for row in rows))

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        return [self.nested[point] for point in generator.integers(len(self.nested), size=self.subnets)]
