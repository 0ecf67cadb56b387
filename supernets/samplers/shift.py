"""Sampling probability shifted to the costs whose subnets are least trained. Experimental.

Paper: ShiftNAS, arXiv 2307.08300; known from a summary only, no code was released.
Differs: an architecture of a bin is drawn from a pool whose exact costs are known, instead of being made by a learned
generator, so its cost is never missed and nothing is trained beside the supernet. How little a bin is trained is judged
by an average of the gradient norms of training steps, after clipping, instead of validation gradients. Logits move by
`rate` times the relative excess over the mean, at the end of each epoch instead of every 100 steps. Bins divide the
range of costs equally; `floor` keeps every bin alive.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from supernets.samplers.path_adaptive import mixed_with_uniform
from supernets.samplers.sampler import Sampler
from supernets.samplers.uniform import Uniform, with_shared_choices

_STEEPEST = 8.0  # how strongly the most one-sided draws of the pool prefer cheap or dear choices


@dataclass(kw_only=True, eq=False)
class Shift(Sampler):
    """A sampler that draws a bin of costs, then an architecture of that bin.

    Args:
        space: Space to draw from.
        cost: The cost that the bins divide; computed once for each architecture of the pool.
        subnets: Architectures of one step.
        bins: Parts of the range of costs; 1 for plain uniform sampling.
        warmup: Part of the training in which all bins are equally likely.
        rate: How far the logits of the bins move in one epoch.
        momentum: Momentum of the average of gradient norms.
        floor: Least probability of a bin, in parts of the uniform one, 0 to 1.
        pool: Architectures whose cost is computed.
    """

    space: Space
    cost: Callable[[Architecture], float]
    subnets: int = 1
    bins: int = 10
    warmup: float = 0.1
    rate: float = 0.5
    momentum: float = 0.9
    floor: float = 0.2
    pool: int = 1000

    draws_from_parts = False

    logits: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        limits: list[tuple[str, bool, str]] = [
            ("subnets", self.subnets >= 1, "at least 1"),
            ("bins", self.bins >= 1, "at least 1"),
            ("warmup", 0 <= self.warmup <= 1, "from 0 to 1"),
            ("rate", self.rate >= 0, "0 or more"),
            ("momentum", 0 <= self.momentum < 1, "from 0 to below 1"),
            ("floor", 0 <= self.floor <= 1, "from 0 to 1"),
            ("pool", self.pool >= self.bins, "at least the number of bins"),
        ]
        for name, holds, allowed in limits:
            if not holds:
                raise FieldError(name, f"must be {allowed}, got {getattr(self, name)}")
        self.logits = np.zeros(self.bins)
        self._warm = False
        self._norms: Tensor | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """Of the bins [K]; 0 for a bin that no architecture of the pool lies in."""
        filled = np.array([len(members) > 0 for members in self._members])
        weights = np.where(filled, np.exp(self.logits - self.logits[filled].max()), 0.0)
        if not self._warm:
            weights = filled.astype(float)
        probabilities = np.zeros(self.bins)
        probabilities[filled] = mixed_with_uniform(weights[filled], 1.0, floor=self.floor / filled.sum())
        return probabilities

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        if self.bins == 1:
            return Uniform(space=self.space, subnets=self.subnets).draw(generator)
        chosen = generator.choice(self.bins, size=self.subnets, p=self.probabilities)
        drawn = [self._members[bin_][generator.integers(len(self._members[bin_]))] for bin_ in chosen]
        return with_shared_choices(self.space, drawn)

    @torch.no_grad()
    def observe(self, architectures: Sequence[Architecture], network: nn.Module) -> None:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        if not gradients:
            return
        norm = torch.stack(torch._foreach_norm(gradients)).double().norm()
        if self._norms is None:
            self._norms = torch.zeros(self.bins, dtype=torch.float64)
        self._norms = norms = self._norms.to(norm.device)
        for bin_ in {self._bin(architecture) for architecture in architectures}:
            before = norms[bin_]
            norms[bin_] = torch.where(before != 0, torch.lerp(norm, before, self.momentum), norm)

    def end_epoch(self, progress: float) -> dict[str, float]:
        norms = np.zeros(self.bins) if self._norms is None else self._norms.cpu().numpy()
        seen = np.isfinite(norms) & (norms > 0)
        self._warm = progress >= self.warmup
        if self._warm and seen.any():
            excess = np.where(seen, norms / norms[seen].mean() - 1, 0.0)
            self.logits = self.logits + self.rate * excess
        return {f"bin{i}": float(p) for i, p in enumerate(self.probabilities)}

    def state_dict(self) -> dict[str, Any]:
        norms = None if self._norms is None else self._norms.clone()
        return {"logits": self.logits.tolist(), "warm": self._warm, "norms": norms}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.logits, self._warm = np.array(state["logits"]), state["warm"]
        self._norms = None if state["norms"] is None else state["norms"].clone()

    @cached_property
    def _edges(self) -> np.ndarray:
        """Costs between the bins [K - 1]."""
        costs = list(self._costs.values())
        return np.linspace(min(costs), max(costs), self.bins + 1)[1:-1]

    @cached_property
    def _costs(self) -> dict[Architecture, float]:
        """The pool with its costs: random architectures, some of them one-sided, so that the extremes are there."""
        generator = np.random.default_rng(0)
        pool = dict.fromkeys([self.space.smallest(), self.space.largest()])
        for _ in range(10 * self.pool):
            if len(pool) >= self.pool:
                break
            pool[self._one_sided(generator)] = None
        return {architecture: self.cost(architecture) for architecture in pool}

    def _one_sided(self, generator: np.random.Generator) -> Architecture:
        """Return a random architecture that prefers cheap or dear choices."""
        slope = generator.uniform(-_STEEPEST, _STEEPEST)
        if self.space.fold is not None:
            return self.space.sample(generator)
        row = []
        for count in self.space.choice_counts:
            weights = np.exp(slope * np.arange(count) / max(count - 1, 1))
            row.append(generator.choice(count, p=weights / weights.sum()))
        return self.space.decode(row)

    @cached_property
    def _members(self) -> list[list[Architecture]]:
        """Architectures of each bin."""
        members: list[list[Architecture]] = [[] for _ in range(self.bins)]
        for architecture in self._costs:
            members[self._bin(architecture)].append(architecture)
        return members

    def _bin(self, architecture: Architecture) -> int:
        cost = self._costs.get(architecture)
        return int(np.searchsorted(self._edges, self.cost(architecture) if cost is None else cost, side="right"))
