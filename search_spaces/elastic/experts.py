"""Feed-forward layers whose weights are a blend of several experts, in parts that depend on the architecture.

Paper: Jawahar et al., Mixture-of-Supernets, Findings of ACL 2024: a small router reads the architecture, and the
softmax of what it says weighs the experts, for the whole layer or for each of its neurons.
Differs: the input of routers is scaled to [0, 1] by the space itself; the released code divides by constants that do
not fit its spaces. The router is the one of two layers; its variants with dropout, more layers, GELU or a residual are
not there. Norms have no experts; in the released code those of the further experts are never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import reduce
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Relaxation, Setting
from search_spaces.blocks import HiddenChannels
from search_spaces.elastic.layer import Elastic
from search_spaces.elastic.linear import ElasticLinear, plain_linear
from search_spaces.sizes import LayerSize, largest
from search_spaces.transformer import FeedForward


class Router(nn.Module):
    """Weights of experts [N, E] by what an architecture is [F], through one hidden layer; the sum over experts is 1.

    Each expert has a row of weights for each neuron, so that the first neurons keep theirs whatever width is active.

    Args:
        features: Numbers that describe an architecture.
        hidden: Hidden units.
        neurons: Neurons that have weights of their own; 1 where the whole layer has the same.
        experts: Number of experts.
    """

    def __init__(self, features: int, hidden: int, neurons: int, experts: int) -> None:
        super().__init__()
        self.enter = nn.Linear(features, hidden)
        self.leave = nn.ModuleList(nn.Linear(hidden, neurons) for _ in range(experts))

    def forward(self, features: Tensor, neurons: int) -> Tensor:
        """Return the weights of the first neurons."""
        hidden = F.relu(self.enter(features))
        layers = cast(Iterable[nn.Linear], self.leave)
        logits = [F.linear(hidden, layer.weight[:neurons], layer.bias[:neurons]) for layer in layers]
        return torch.stack(logits, dim=1).softmax(1)


class ExpertLinear(nn.Module):
    """Elastic linear layers of one size, of which a blend runs.

    Args:
        experts: The layers.
    """

    def __init__(self, experts: Iterable[ElasticLinear]) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts)

    @property
    def layers(self) -> list[ElasticLinear]:
        """The experts."""
        return list(cast(Iterable[ElasticLinear], self.experts))

    @property
    def neurons(self) -> int:
        """Output features of the largest setting."""
        return largest(self.layers[0].out_size)

    @property
    def active_out(self) -> int:
        """Output features of the active setting."""
        return self.layers[0].active_out

    @property
    def in_size(self) -> LayerSize:
        """Input features, of which architectures use the first."""
        return self.layers[0].in_size

    @property
    def weight(self) -> Tensor:
        """The mean weight of all experts [O, I], by which hidden units are ordered."""
        return torch.stack([layer.full_weight() for layer in self.layers]).mean(0)

    def activate(self, setting: Setting) -> None:
        for layer in self.layers:
            layer.activate(setting)

    def blended(self, routing: Tensor, inputs: int | None = None) -> tuple[Tensor, Tensor | None]:
        """Return weight [out, inputs] and bias [out] of the active setting.

        Args:
            routing: Weights of the experts, [1, E] for all neurons or [out, E].
            inputs: Features that arrive; by default those of the active setting.
        """
        parts = [layer.active_weights(layer.active_in if inputs is None else inputs) for layer in self.layers]
        weights, biases = zip(*parts)
        columns = routing.unbind(1)
        weight = reduce(torch.add, (part * column[:, None] for part, column in zip(weights, columns)))
        if biases[0] is None:
            return weight, None
        return weight, reduce(torch.add, (part * column for part, column in zip(biases, columns)))


@dataclass(frozen=True, kw_only=True)
class Routing:
    """How routers weigh experts.

    Args:
        encode: Architecture -> numbers from 0 to 1, float32 [F].
        features: How many numbers.
        hidden: Hidden units of a router.
        by_neuron: Whether each neuron has weights of its own for the experts, by one router for each layer; else one
            router gives all neurons of both layers the same.
    """

    encode: Callable[[Architecture], np.ndarray]
    features: int
    hidden: int
    by_neuron: bool


class BlendedFeedForward(FeedForward, Elastic):
    """Two linear layers of several experts each, with an activation between them, [..., D] -> [..., D].

    Args:
        expand: Experts of the first layer.
        activation: What stands between the layers.
        contract: Experts of the second layer.
        how: How routers weigh the experts.

    Attributes:
        features: The numbers of the active architecture, which routers read; they are not saved.
    """

    features: Tensor

    def __init__(
        self, expand: Iterable[ElasticLinear], activation: nn.Module, contract: Iterable[ElasticLinear], how: Routing
    ) -> None:
        first, second = ExpertLinear(expand), ExpertLinear(contract)
        super().__init__(first, activation, second)
        self.encode, experts = how.encode, len(first.layers)
        neurons = (first.neurons, second.neurons) if how.by_neuron else (1,)
        self.routers = nn.ModuleList(Router(how.features, how.hidden, number, experts) for number in neurons)
        self.register_buffer("features", torch.zeros(how.features), persistent=False)

    @property
    def linears(self) -> tuple[ExpertLinear, ExpertLinear]:
        """Both layers."""
        return cast(ExpertLinear, self.expand), cast(ExpertLinear, self.contract)

    def activate(self, setting: Setting) -> None:
        if isinstance(setting, Relaxation):
            raise TypeError("experts are blended for one architecture: they cannot run a mixture of choices")
        for layer in self.linears:
            layer.activate(setting)
        self.features.copy_(torch.from_numpy(self.encode(setting)))

    def routing(self) -> tuple[Tensor, Tensor]:
        """Return the weights of experts in both layers, each [1, E] or [out, E], in the precision of the weights."""
        kind = self.features.device.type
        with torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext():
            if len(self.routers) == 1:
                shared = self.routers[0](self.features, 1)
                return shared, shared
            expand, contract = self.linears
            first, second = self.routers
            return first(self.features, expand.active_out), second(self.features, contract.active_out)

    def forward(self, x: Tensor) -> Tensor:
        (expand, contract), (first, second) = self.linears, self.routing()
        x = self.activation(F.linear(x, *expand.blended(first, x.shape[-1])))
        return F.linear(x, *contract.blended(second, x.shape[-1]))

    @torch.no_grad()
    def extract(self) -> nn.Module:
        """Return the plain layers that the blend of the active architecture comes to."""
        plain = [plain_linear(*layer.blended(routing)) for layer, routing in zip(self.linears, self.routing())]
        return FeedForward(plain[0], deepcopy(self.activation), plain[1]).train(self.training)

    @torch.no_grad()
    def folded(self) -> FeedForward:
        """Return elastic layers without experts that compute what this one does for the active architecture.

        Weights that this architecture does not use are those of the first expert.
        """
        layers = [deepcopy(linear.layers[0]) for linear in self.linears]
        for layer, linear, routing in zip(layers, self.linears, self.routing()):
            weight, bias = linear.blended(routing)
            layer.weight[: weight.shape[0], : weight.shape[1]] = weight
            if bias is not None and layer.bias is not None:
                layer.bias[: len(bias)] = bias
        return FeedForward(layers[0], deepcopy(self.activation), layers[1]).train(self.training)

    def hidden_channels(self) -> list[HiddenChannels]:
        """Return the hidden units, which all experts have in the same order."""
        expand, contract = self.linears
        carriers: list[tuple[Tensor, int]] = []
        for first, second in zip(expand.layers, contract.layers, strict=True):
            carriers += [(first.weight, 0), (second.weight, 1)]
            carriers += [] if first.bias is None else [(first.bias, 0)]
        if len(self.routers) > 1:
            rows = cast(Iterable[nn.Linear], cast(Router, self.routers[0]).leave)
            carriers += [pair for layer in rows for pair in ((layer.weight, 0), (layer.bias, 0))]
        return [HiddenChannels(contract, carriers)]
