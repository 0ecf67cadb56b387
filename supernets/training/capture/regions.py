"""The modules of a network that have few settings: its operations and blocks, and what stands around them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.elastic.layer import Elastic
from search_spaces.elastic.running import elastic_parts, holds_modules, is_known, running, settings
from search_spaces.networks.darts_network import ElasticCell

_LEAST_LAYERS = 2
"""A graph of one layer saves nothing: its input is copied first."""
_MOST_SETTINGS = 64
"""A module with more is divided into its parts."""


class Region:
    """A module that is recorded as a whole, for each of its settings.

    Args:
        name: Name in the network.
        module: The module.
    """

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name, self.module = name, module
        self._parts = list(module.modules())
        self._layers: list[Elastic] = elastic_parts(module)

    def setting(self, inputs: Sequence[Any]) -> Hashable | None:
        """Return what decides the computation beside weights and values; None where it cannot be recorded now."""
        settings = running(self._layers)
        if settings is None or not all(type(one) is Tensor for one in inputs):
            return None
        modes = tuple(part.training for part in self._parts)
        shapes = tuple((one.shape, one.stride(), one.dtype, one.requires_grad) for one in inputs)
        kind = inputs[0].device.type if inputs else "cpu"
        cast = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        return settings, modes, shapes, cast

    @property
    def has_hooks(self) -> bool:
        """Whether somebody listens to what is inside; a replay would tell them nothing."""
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        return any(getattr(part, kind) for part in self._parts if part is not self.module for kind in kinds)


def regions(network: nn.Module, name: str = "") -> list[Region]:
    """Return the largest modules that have few settings, as far as a recording of them can save time.

    Elastic layers that the library does not know, and networks that are traced, are left as they are.
    """
    is_one = is_known(network) and settings(network) <= _MOST_SETTINGS
    if isinstance(network, nn.ModuleDict | nn.ModuleList) or not is_one:
        if isinstance(network, Elastic) and not (holds_modules(network) or type(network) is ElasticCell):
            return []
        children = network.named_children()
        return [one for child, module in children for one in regions(module, f"{name}.{child}".lstrip("."))]
    leaves = [part for part in network.modules() if not any(True for _ in part.children())]
    if len(leaves) < _LEAST_LAYERS or not any(True for _ in network.parameters()):
        return []
    return [Region(name, network)]
