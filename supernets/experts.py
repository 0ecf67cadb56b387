"""A space whose supernet blends its feed-forward layers of several experts, for each architecture in another way.

Paper: Jawahar et al., Mixture-of-Supernets, Findings of ACL 2024; the layers are in `search_spaces.elastic.experts`.
Differs: further experts begin as noisy copies of the first, or with weights of their own. Exact copies, as the released
script for BERT makes them, give the routers no gradient at first.

This is one supernet, for spaces of any size. `supernets.mixture` is another method of a similar name: several whole
supernets, of which each architecture runs in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from search_spaces.scaled_features import ScaledFeatures
from supernets.experts_config import ExpertsConfig

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.elastic import ElasticLinear
    from search_spaces.transformer import FeedForward

_CONSTANT = 0.5


def with_experts(space: Space, config: ExpertsConfig | None) -> Space:
    """Return the space with supernets that have experts; the networks of single architectures stay plain.

    Args:
        space: Space whose networks have feed-forward layers; experts that it has already are replaced.
        config: Settings; None returns the space as it is, and so do spaces without supernets.
    """
    if config is None or not space.is_elastic:
        return space
    return replace(space, build=_Build(without_experts(space), config))


def without_experts(space: Space) -> Space:
    """Return the space, or part of one, without the experts that it was given."""
    build = space.build
    return replace(space, build=build.space.build) if isinstance(build, _Build) else space


def experts_of(space: Space) -> ExpertsConfig | None:
    """Return the settings of the experts of a space; None where it has none."""
    return space.build.config if isinstance(space.build, _Build) else None


def experts_told(network: nn.Module) -> str:
    """Return how many layers of a network have experts, and how many weights these add, as words."""
    from search_spaces.elastic.experts import BlendedFeedForward

    layers = [module for module in network.modules() if isinstance(module, BlendedFeedForward)]
    firsts = [linear.layers[0] for layer in layers for linear in layer.linears]
    whole, blended, shared = (_weights(parts) for parts in ([network], layers, firsts))
    number = len(layers[0].linears[0].layers)
    without = f"{whole + shared - blended:,} without further experts and routers"
    return f"{len(layers)} feed-forward layers of {number} experts; {whole:,} weights, {without}"


def _weights(parts: Sequence[nn.Module]) -> int:
    return sum(weight.numel() for part in parts for weight in part.parameters())


@dataclass(frozen=True)
class _Build:
    """The `build` of a space with experts.

    Args:
        space: The space without them.
        config: Settings.
    """

    space: Space
    config: ExpertsConfig

    def __call__(self) -> nn.Module:
        """Return an elastic network with experts; the weights of the first are those that it has without others.

        Where the space is made of spaces that have experts, the network has these.

        Raises:
            FieldError: It has no feed-forward layers.
        """
        from search_spaces.elastic.experts import BlendedFeedForward

        network = self.space.build()
        if any(isinstance(module, BlendedFeedForward) for module in network.modules()):
            return network
        if not any(True for _ in _feed_forwards(network)):
            raise FieldError("mixture", f"must be null: networks of {self.space.name} have no feed-forward layers")
        sources = [network if self.config.start == "copies" else self.space.build() for _ in range(self._further)]
        self._blend(network, sources)
        return network

    @property
    def _further(self) -> int:
        return self.config.experts - 1

    def _blend(self, network: nn.Module, sources: Sequence[nn.Module]) -> None:
        """Replace the feed-forward layers of a network; sources have those of the further experts."""
        from search_spaces.elastic.experts import BlendedFeedForward, Routing

        encode = ScaledFeatures(self.space)
        how = Routing(
            encode=encode if self.config.input == "architecture" else partial(_constant, encode.number),
            features=encode.number,
            hidden=self.config.hidden,
            by_neuron=self.config.routing == "neuron",
        )
        further = [dict(_feed_forwards(source)) for source in sources]
        for name, layer in list(_feed_forwards(network)):
            others = [of[name] for of in further]
            expand, contract = (self._experts(layer, others, part) for part in ("expand", "contract"))
            network.set_submodule(name, BlendedFeedForward(expand, layer.activation, contract, how))

    def _experts(self, layer: FeedForward, others: Sequence[FeedForward], part: str) -> list[ElasticLinear]:
        """Return the experts of one linear layer, the one that there is first."""
        first, *further = (cast("ElasticLinear", getattr(one, part)) for one in (layer, *others))
        if self.config.start == "copies":
            further = [_noisy(first, self.config.noise) for _ in further]
        return [first, *further]


def _feed_forwards(network: nn.Module) -> Iterator[tuple[str, FeedForward]]:
    """Yield the feed-forward layers of a network whose both layers are elastic, with their names."""
    from search_spaces.elastic import ElasticLinear
    from search_spaces.transformer import FeedForward

    for name, module in network.named_modules():
        if type(module) is FeedForward and all(type(one) is ElasticLinear for one in (module.expand, module.contract)):
            yield name, module


def _noisy(layer: ElasticLinear, noise: float) -> ElasticLinear:
    """Return a copy with noise on the weight."""
    import torch

    copy = deepcopy(layer)
    with torch.no_grad():
        copy.weight.add_(torch.randn_like(copy.weight) * (noise * layer.weight.std()))
    return copy


def _constant(number: int, architecture: Architecture) -> np.ndarray:
    return np.full(number, _CONSTANT, dtype=np.float32)
