"""Choices drawn in proportion to the gradient norms of their weights.

Paper: PA&DA, arXiv 2302.14772, the path half; released code for NAS-Bench-201. The data half is
`supernets.training.example_importance`.
Differs: norms of weights and biases of convolutions and linear layers count; those of batch norms and of learned
kernel transforms do not. The norm of a choice is the mean over the modules that ran under it, of all decisions that
share its probabilities: on NAS-Bench-201 the published sum over cells divided by their number, a constant that
probabilities do not see. The weights of layers that are cut to size count for the active choice of each of their
decisions. With several subnets a step, the norm of their joint gradient counts for every choice that one of them has.
Where all norms are zero, or one of them is not finite, the choices are uniform; the released code would give NaN. As
published, choices without weights have norm zero and fade out as training goes on: `floor` keeps them. The sampler
brings no other setting of the released training: label smoothing 0, weight decay 2.5e-4 on all parameters, plain
momentum and a rate of 0.05 that falls once an epoch. The recipe `pa_da_nasbench201` sets all of these but the last.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import Architecture, Choice, Decision, Space
from search_spaces.elastic import ElasticConv2d, ElasticLinear, governed
from search_spaces.errors import FieldError
from supernets.device import send
from supernets.samplers.sampler import Sampler
from supernets.samplers.uniform import drawn_member, with_shared_choices

_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, ElasticConv2d, ElasticLinear)

Pair = tuple[str, Choice]


@dataclass(kw_only=True, eq=False)
class PathAdaptive(Sampler):
    """Every choice has the probability tau * G / sum(G) + (1 - tau) / n, from the gradient norms G of an epoch.

    Args:
        space: Space to draw from.
        subnets: Architectures of one step; all of a step share the choices that the space names.
        per_decision: Whether every decision has probabilities of its own; published is one vector for all decisions
            that have the same choices.
        floor: Least probability of a choice, at most 1/n of n choices; published is 0.
    """

    space: Space
    subnets: int = 1
    per_decision: bool = False
    floor: float = 0.0
    probabilities: dict[str, np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        most = int(self.space.choice_counts.max())
        if not 0 <= self.floor <= 1 / most:
            raise FieldError("floor", f"must be from 0 to 1/{most} (a decision has {most} choices), got {self.floor}")
        if self.subnets < 1:
            raise FieldError("subnets", f"must be at least 1, got {self.subnets}")
        self._vector_of = _vectors(self.space, self.per_decision)
        self._choices = {self._vector_of[d.name]: d.choices for d in self.space.decisions}
        self._starts = dict(zip(self._choices, np.cumsum([0, *(len(c) for c in self._choices.values())]).tolist()))
        self.probabilities = {name: np.full(len(c), 1 / len(c)) for name, c in self._choices.items()}
        self._norms: Tensor | None = None
        self._table: _Table | None = None

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        return with_shared_choices(self.space, [self._architecture(generator) for _ in range(self.subnets)])

    def _architecture(self, generator: np.random.Generator) -> Architecture:
        sums = {name: np.cumsum(p) for name, p in self.probabilities.items()}

        def draw() -> dict[str, Choice]:
            values = {}
            for decision, uniform in zip(self.space.decisions, generator.random(len(self.space.decisions))):
                bounds = sums[self._vector_of[decision.name]]
                position = np.searchsorted(bounds, uniform * bounds[-1], side="right")
                values[decision.name] = decision.choices[min(position, len(decision.choices) - 1)]
            return values

        return drawn_member(self.space, draw)

    @torch.no_grad()
    def observe(self, architectures: Sequence[Architecture], network: nn.Module) -> None:
        if self._table is None or self._table.network is not network:
            self._table = _Table(network, self._slots())
        if self._norms is None:
            self._norms = torch.zeros(sum(map(len, self._choices.values())), dtype=torch.float64)
        observed = self._table.norms({pair for architecture in architectures for pair in architecture.items()})
        if observed is not None:
            self._norms = self._norms.to(observed.device)
            self._norms = torch.where(observed != 0, (self._norms + observed) / 2, self._norms)

    def _slots(self) -> dict[Pair, int]:
        """Return where the norm of each choice of each decision is counted."""
        return {
            (decision.name, choice): self._starts[self._vector_of[decision.name]] + position
            for decision in self.space.decisions
            for position, choice in enumerate(decision.choices)
        }

    def end_epoch(self, progress: float) -> dict[str, float]:
        norms = np.zeros(sum(map(len, self._choices.values()))) if self._norms is None else self._norms.cpu().numpy()
        for name, choices in self._choices.items():
            part = norms[self._starts[name] :][: len(choices)]
            self.probabilities[name] = mixed_with_uniform(part, progress, floor=self.floor)
        self._norms = None
        return self._named()

    def _named(self) -> dict[str, float]:
        """Return the probabilities of all choices; operations of one vector are called by their names alone."""
        open_ = {name: choices for name, choices in self._choices.items() if len(choices) > 1}
        alone = len(open_) == 1 and all(isinstance(choice, str) for choices in open_.values() for choice in choices)
        return {
            str(choice) if alone else f"{name}/{choice}": float(probability)
            for name, choices in open_.items()
            for choice, probability in zip(choices, self.probabilities[name])
        }

    def state_dict(self) -> dict[str, Any]:
        probabilities = {name: p.tolist() for name, p in self.probabilities.items()}
        return {"probabilities": probabilities, "norms": self._norms}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.probabilities = {name: np.array(p) for name, p in state["probabilities"].items()}
        self._norms = state["norms"]


def mixed_with_uniform(norms: np.ndarray, tau: float, *, floor: float = 0.0) -> np.ndarray:
    """Return tau * norms / sum(norms) + (1 - tau) / n, uniform where the norms say nothing; at least `floor` each."""
    n, total = len(norms), norms.sum()
    share = norms / total if np.isfinite(total) and total > 0 else np.full(n, 1 / n)
    mixed = tau * share + (1 - tau) / n
    low = np.zeros(n, dtype=bool)
    while (below := ~low & (mixed < floor)).any():  # raising some lowers the others
        low |= below
        rest = mixed[~low].sum()
        mixed = np.where(low, floor, mixed * ((1 - floor * low.sum()) / rest if rest > 0 else 0.0))
    return mixed


def _vectors(space: Space, per_decision: bool) -> dict[str, str]:
    """Return the vector of probabilities that each decision has, by its name."""
    if per_decision:
        return {decision.name: decision.name for decision in space.decisions}
    kinds: dict[tuple[str, tuple[Choice, ...]], str] = {}
    taken: dict[str, int] = {}
    names = {}
    for decision in space.decisions:
        key = (_kind(decision), decision.choices)
        if key not in kinds:
            taken[key[0]] = taken.get(key[0], 0) + 1
            kinds[key] = key[0] if taken[key[0]] == 1 else f"{key[0]}{taken[key[0]]}"
        names[decision.name] = kinds[key]
    return names


def _kind(decision: Decision) -> str:
    """Return what a decision is about: the letters of the last part of its name; depths and widths stay apart."""
    return re.sub(r"[\d_]+", "", decision.name.rpartition(".")[2]) or decision.name


class _Table:
    """The weights of a network that count for each choice, found once.

    Args:
        network: Network whose gradients are looked at.
        slots: Position of each choice of each decision in the norms; several may share one.
    """

    def __init__(self, network: nn.Module, slots: Mapping[Pair, int]) -> None:
        self.network = network
        modules: dict[Pair, list[list[nn.Parameter]]] = {}
        for decision, choice, module in governed(network):
            parameters = _counted(module)
            if (decision, choice) in slots and parameters:
                modules.setdefault((decision, choice), []).append(parameters)
        self.pairs = list(modules)
        self.parameters = list(dict.fromkeys(p for lists in modules.values() for ps in lists for p in ps))
        column = {parameter: i for i, parameter in enumerate(self.parameters)}
        device = next(network.parameters()).device
        uses = torch.zeros(len(self.pairs), len(self.parameters), dtype=torch.float64)
        to_slot = torch.zeros(max(slots.values()) + 1, len(self.pairs), dtype=torch.float64)
        for row, pair in enumerate(self.pairs):
            to_slot[slots[pair], row] = 1
            for parameters in modules[pair]:
                for parameter in parameters:
                    uses[row, column[parameter]] += 1
        counts = torch.tensor([len(modules[pair]) for pair in self.pairs], dtype=torch.float64)
        self.uses, self.to_slot, self.counts = uses.to(device), to_slot.to(device), counts.to(device)

    def norms(self, present: set[Pair]) -> Tensor | None:
        """Mean gradient norm of the modules that ran under the choices of each slot; 0 where none did.

        Returns:
            float64 [slots] on the device of the network; None where no weight has a gradient.
        """
        with_gradient = [p.grad for p in self.parameters if p.grad is not None]
        if not with_gradient:
            return None
        found = iter(torch._foreach_norm(with_gradient))
        nothing = torch.zeros((), dtype=with_gradient[0].dtype, device=self.uses.device)
        norms = torch.stack([nothing if p.grad is None else next(found) for p in self.parameters]).double()
        ran = send(torch.tensor([pair in present for pair in self.pairs], dtype=torch.float64), self.uses.device)
        sums, counts = self.to_slot @ (ran * (self.uses @ norms)), self.to_slot @ (ran * self.counts)
        return sums / counts.clamp(min=1)


def _counted(module: nn.Module) -> list[nn.Parameter]:
    """Return the weights and biases of the convolutions and linear layers of a module."""
    layers = [layer for layer in module.modules() if isinstance(layer, _WEIGHTED)]
    named = [getattr(layer, name) for layer in layers for name in ("weight", "bias")]
    return [parameter for parameter in named if isinstance(parameter, nn.Parameter)]
