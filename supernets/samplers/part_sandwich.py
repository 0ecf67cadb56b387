"""The sandwich rule within one part of a space, behind its largest network.

Paper: Universally Slimmable Networks, arXiv 1903.05134, section 3, for the sandwich.
Differs: the largest network of the whole space teaches. A part has one choice of a decision, drawn anew in every step,
so that its own largest and smallest networks are trained as often as those of other parts.
"""

from dataclasses import dataclass, field

import numpy as np

from search_spaces import Architecture, Space
from search_spaces.decisions import names_hint
from search_spaces.errors import FieldError
from supernets.samplers.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class PartSandwich(Sampler):
    """Largest of the space first (the others are distilled from it), then largest, random ones and smallest of a part.

    Args:
        space: Space to draw from.
        subnets: Architectures of one step, at least 3.
        decision: Decision that makes the parts: its choices below which others are decided, or all where there are
            none. By default the first that others lie below, or the first of all.
    """

    space: Space
    subnets: int = 5
    decision: str | None = None
    parts: tuple[Space, ...] = field(init=False, repr=False)

    distillation = "in_place"
    draws_from_parts = False

    def __post_init__(self) -> None:
        if self.subnets < 3:
            least = "the largest, and the largest and the smallest of a part"
            raise FieldError("subnets", f"must be at least 3, {least}, got {self.subnets}")
        decisions = {one.name: one for one in self.space.decisions}
        parents = [one.parent for one in self.space.decisions if one.parent is not None]
        name = self.decision or next(iter([*parents, *decisions]))
        if name not in decisions:
            there = names_hint(self.space.decisions)
            raise FieldError("decision", f"must be one of {self.space.name}, which has {there}, got {name!r}")
        below = {choice for one in self.space.decisions if one.parent == name for choice in one.active_when}
        choices = [choice for choice in decisions[name].choices if choice in below or not below]
        object.__setattr__(self, "parts", tuple(self.space.restrict({name: [choice]}) for choice in choices))

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        part = self.parts[int(generator.integers(len(self.parts)))]
        middle = [part.sample(generator) for _ in range(self.subnets - 3)]
        return [self.space.largest(), part.largest(), *middle, part.smallest()]
