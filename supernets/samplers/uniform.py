"""Uniform sampling of subnets.

Paper: SPOS, arXiv 1904.00420; with several subnets a step it is the dynamic batch of Once-for-All, arXiv 1908.09791.
Differs: nothing known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces import Architecture, Space


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """`subnets` architectures a step, every decision uniform; all of a step have the same resolution.

    Args:
        space: Where to draw from.
        subnets: Architectures of one step.
    """

    space: Space
    subnets: int = 1

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        return with_one_resolution(self.space, [self.space.sample(generator) for _ in range(self.subnets)])


def with_one_resolution(space: Space, architectures: Sequence[Architecture]) -> list[Architecture]:
    """The same architectures, all with the resolution of the first, where the space has that decision."""
    first = architectures[0]
    if "resolution" not in first:
        return list(architectures)
    shared = {"resolution": first["resolution"]}
    return [space.architecture({**architecture, **shared}) for architecture in architectures]
