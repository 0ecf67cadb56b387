"""Architectures whose mean budget rises and falls, so that cheap and dear ones are trained as often as middling ones.

Paper: the resource-balanced scheduler of LLM-QFA, arXiv 2405.20202: where every layer draws its bits by itself, the
mean of L layers spreads by 1 / sqrt(L) of what one layer does, and extreme budgets are hardly trained.
Differs: no code was released, and the published formula of the triangle wave has neither its lower end nor its period;
here it goes from the largest budget to the smallest and back. The paper does not say how layers reach a mean: here
every decision is drawn by itself with the probabilities of the largest entropy that have it, p ~ exp(lambda * amount).
The budget is any exact cost of a space instead of bits alone. The amount of a choice is the mean cost of random
architectures that have it; for a sum over decisions the mean of draws is exact, elsewhere it is near.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from supernets.samplers.sampler import Sampler, usual_cost
from supernets.samplers.uniform import with_shared_choices

_OTHERS = 64  # random architectures over which the amount of a choice is a mean
_FLATTEST, _STEEPEST = -25.0, 25.0  # of asinh(lambda); beyond, the cheapest or dearest choices have all probability
_HALVINGS = 60


@dataclass(kw_only=True, eq=False)
class BudgetBalanced(Sampler):
    """A sampler whose mean budget follows a triangle wave, from the largest network to the smallest and back.

    Args:
        space: Space to draw from.
        subnets: Architectures of one step; all have the budget of the step.
        period: Steps of one wave; published is 8000 of 10,000.
        budget: Name of an exact cost of the space; null for multiply-accumulates.
    """

    space: Space
    subnets: int = 1
    period: int = 8000
    budget: str | None = None

    draws_from_parts = False

    step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        for name in ("subnets", "period"):
            if getattr(self, name) < 1:
                raise FieldError(name, f"must be at least 1, got {getattr(self, name)}")
        if self.space.fold is not None:
            raise FieldError("space", f"must have free choices for a balanced budget; {self.space.name} has not")
        costs = self.space.cost_names
        if not costs or (self.budget is not None and self.budget not in costs):
            raise FieldError("budget", f"must be one of the costs {', '.join(costs) or '(none)'}, got {self.budget!r}")

    @property
    def target(self) -> float:
        """Mean budget of the next step: 0 for that of the cheapest choices, 1 for that of the dearest."""
        return triangle_wave(self.step, self.period)

    @property
    def probabilities(self) -> np.ndarray:
        """Probabilities of choices in the next step [D, most choices]; 0 where a decision has fewer."""
        return tilted(self._amounts, self.target)

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        bounds = self.probabilities.cumsum(axis=1)
        bounds /= bounds[:, -1:]
        drawn = []
        for _ in range(self.subnets):
            row = (bounds <= generator.random(len(bounds))[:, None]).sum(axis=1)
            drawn.append(self.space.decode(row))
        return with_shared_choices(self.space, drawn)

    def observe(self, architectures: Sequence[Architecture], network: nn.Module) -> None:
        self.step += 1

    def end_epoch(self, progress: float) -> dict[str, float]:
        named = zip(self.space.decisions, self.probabilities, strict=True)
        return {f"{d.name}/{choice}": float(p) for d, row in named for choice, p in zip(d.choices, row)}

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step = int(state["step"])

    @cached_property
    def _amounts(self) -> np.ndarray:
        """What each choice adds to the budget [D, most choices], see `tilted`; NaN where a decision has fewer."""
        counts, budget = self.space.choice_counts, self.budget or usual_cost(self.space)
        others = self.space.sample_encodings(_OTHERS, np.random.default_rng(0))
        amounts = np.full((len(counts), counts.max()), np.nan)
        for decision, count in enumerate(counts):
            rows = np.repeat(others[None], count, axis=0)  # [choices, others, D]
            rows[:, :, decision] = np.arange(count)[:, None]
            costs = self.space.costs(self.space.canonical(rows.reshape(-1, len(counts))))[budget]
            amounts[decision, :count] = np.asarray(costs, dtype=float).reshape(count, -1).mean(axis=1)
        return amounts


def triangle_wave(step: int, period: int) -> float:
    """Return the height of a wave at a step: 1 at 0, 0 after half a period, and 1 again after a whole one."""
    return abs(2 * (step % period) / period - 1)


def tilted(amounts: np.ndarray, target: float) -> np.ndarray:
    """Return the independent probabilities of largest entropy whose sum of mean amounts is as wanted.

    Args:
        amounts: Amount of each choice of each decision [D, C]; NaN where a decision has fewer choices.
        target: Sum of the means: 0 for the least that there is, 1 for the most.

    Returns:
        Probabilities [D, C], proportional to exp(lambda * amount) with one lambda for all decisions.
    """
    there = ~np.isnan(amounts)
    low, high = np.nanmin(amounts, axis=1, keepdims=True), np.nanmax(amounts, axis=1, keepdims=True)
    total = (high - low).sum() or 1.0
    parts = np.where(there, amounts - low, 0.0) / total

    def probabilities(steepness: float) -> np.ndarray:
        logits = np.where(there, np.sinh(steepness) * parts, -np.inf)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    below, above = _FLATTEST, _STEEPEST
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        below, above = (middle, above) if (probabilities(middle) * parts).sum() < target else (below, middle)
    return probabilities((below + above) / 2)
