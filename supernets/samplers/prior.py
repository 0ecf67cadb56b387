"""Choices with weights drawn more often than others, by a prior that is fixed and learns nothing.

Paper: none; the control of comparisons with samplers that learn to prefer such choices.
Differs: nothing known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum

import numpy as np

from search_spaces import Architecture, Choice, Space
from search_spaces.errors import FieldError
from supernets.samplers.sampler import Sampler
from supernets.samplers.uniform import drawn_member, with_shared_choices


@dataclass(kw_only=True, eq=False)
class Prior(Sampler):
    """Every choice has the probability s * w / sum(w) + (1 - s) / n; w is 1 where it has weights of its own, else 0.

    A choice has weights of its own where the largest architecture has more parameters with it than with the cheapest
    choice of the same decision; on NAS-Bench-201 these are the convolutions.

    Args:
        space: Space to draw from.
        subnets: Architectures of one step; all of a step share the choices that the space names.
        strength: s, from 0 (uniform) to below 1; 0.5 is the mean over a training of what PA&DA uses.
    """

    space: Space
    subnets: int = 1
    strength: float = 0.5
    probabilities: dict[str, np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 1:
            raise FieldError("strength", f"must be from 0 to below 1, got {self.strength}")
        if self.subnets < 1:
            raise FieldError("subnets", f"must be at least 1, got {self.subnets}")
        base = self.space.encode(self.space.largest())
        self.probabilities = {
            decision.name: self._vector(base, column) for column, decision in enumerate(self.space.decisions)
        }

    def _vector(self, base: np.ndarray, column: int) -> np.ndarray:
        n = int(self.space.choice_counts[column])
        rows = np.repeat(base[None], n, axis=0)
        rows[:, column] = np.arange(n)
        valid = self.space.valid(rows)
        params = np.zeros(n)
        if "params" in self.space.cost_names:
            params[valid] = self.space.costs(rows[valid])["params"]
        weighted = valid & (params > params[valid].min(initial=np.inf))
        share = weighted / weighted.sum() if weighted.any() else np.full(n, 1 / n)
        return self.strength * share + (1 - self.strength) / n

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        return with_shared_choices(self.space, [self._architecture(generator) for _ in range(self.subnets)])

    def _architecture(self, generator: np.random.Generator) -> Architecture:
        def draw() -> dict[str, Choice]:
            return {
                decision.name: decision.choices[int(generator.choice(len(p), p=p))]
                for decision, p in zip(self.space.decisions, self.probabilities.values())
            }

        return drawn_member(self.space, draw)

    def log_probabilities(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Return the logarithm of how probable the choices of architectures are [N]: a score without any training.

        Equal choices in another order give the same number to the last bit, so ties stay ties.
        """
        logs = {
            decision.name: dict(zip(decision.choices, np.log(self.probabilities[decision.name])))
            for decision in self.space.decisions
        }
        return np.array([fsum(logs[name][choice] for name, choice in a.items()) for a in architectures])
