"""Uniform sampling of subnets.

Paper: SPOS, arXiv 1904.00420; with several subnets a step it is the dynamic batch of Once-for-All, arXiv 1908.09791.
Differs: nothing known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces import Architecture, Choice, InvalidArchitecture, Space
from supernets.samplers.sampler import Sampler

_DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class Uniform(Sampler):
    """`subnets` architectures a step, every decision uniform; all of a step share the choices that the space names.

    Args:
        space: Space to draw from.
        subnets: Architectures of one step.
    """

    space: Space
    subnets: int = 1

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        return with_shared_choices(self.space, [self.space.sample(generator) for _ in range(self.subnets)])


def with_shared_choices(space: Space, architectures: Sequence[Architecture]) -> list[Architecture]:
    """Return the same architectures, all with what the first chose for the shared decisions of the space."""
    shared = {name: architectures[0][name] for name in space.shared_decisions if name in architectures[0]}
    if not shared:
        return list(architectures)
    return [space.architecture({**architecture, **shared}) for architecture in architectures]


def drawn_member(space: Space, draw: Callable[[], dict[str, Choice]]) -> Architecture:
    """Return the first draw of one choice for every decision that is a member of the space.

    Raises:
        InvalidArchitecture: A draw is no member of a space in which all should be, or a thousand draws are none.
    """
    for _ in range(_DRAWS):
        try:
            return space.architecture(draw())
        except InvalidArchitecture:
            if space.fold is None:
                raise
    raise InvalidArchitecture(f"space {space.name!r}: none of {_DRAWS} draws is a member")
