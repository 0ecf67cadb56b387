"""Strict fairness: every choice of every decision is trained equally often in every step.

Paper: FairNAS, arXiv 1907.01845, section 3.3 (strict fairness) and algorithm 1: as many subnets a step as there are
choices, their gradients added up, one update.
Differs: decisions may have unequal numbers of choices. The step has as many subnets as the largest number; a decision
with fewer choices repeats its permutation with newly drawn ones, so that its choices differ by one use at most. Choices
of a decision that a subnet leaves inactive are not used by it. Permutations are drawn anew in every step; a released
re-implementation keeps those of the first.
"""

from dataclasses import dataclass

import numpy as np

from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from supernets.samplers.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class Fair(Sampler):
    """As many architectures a step as the decision with the most choices has, each choice in turn.

    Args:
        space: Space to draw from; any combination of its choices is an architecture.
    """

    space: Space

    draws_from_parts = False

    def __post_init__(self) -> None:
        if self.space.fold is not None:
            raise FieldError("space", f"must have free choices for fair sampling; {self.space.name} has not")

    @property
    def subnets(self) -> int:
        """Architectures of one step."""
        return int(self.space.choice_counts.max())

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        columns = [_in_turn(int(count), self.subnets, generator) for count in self.space.choice_counts]
        return [self.space.decode(row) for row in np.stack(columns, axis=1)]


def _in_turn(choices: int, length: int, generator: np.random.Generator) -> np.ndarray:
    """Return random permutations of the choices, one after the other, cut to a length."""
    rounds = -(-length // choices)
    return np.concatenate([generator.permutation(choices) for _ in range(rounds)])[:length]
