"""What decides the computation of a module that holds elastic layers, beside its weights and its input.

Whoever remembers a computation, such as a recorded one, asks for this before it is used again.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from math import prod
from typing import Any

from torch import nn

from search_spaces.elastic.choice import ElasticChoice
from search_spaces.elastic.conv import ElasticConv2d
from search_spaces.elastic.cropped_conv import CroppedConv2d
from search_spaces.elastic.depth import ElasticDepth
from search_spaces.elastic.layer import Elastic
from search_spaces.elastic.linear import ElasticLinear
from search_spaces.elastic.norm import ElasticBatchNorm2d
from search_spaces.elastic.resize import ElasticResize
from search_spaces.sizes import Size

_LEAVES: Mapping[type, Callable[[Any], Hashable]] = {
    ElasticConv2d: lambda layer: (layer.active_out, layer.active_kernel),
    CroppedConv2d: lambda layer: (layer.active_out, layer.active_kernel),
    ElasticLinear: lambda layer: layer.active_out,
    ElasticBatchNorm2d: lambda layer: (layer.synchronised, layer.momentum),
    ElasticResize: lambda layer: layer.resize.size,
}
"""Layers by their very type: one that generates its weights may follow an architecture in ways of its own."""
_HOLDERS = (ElasticChoice, ElasticDepth)


def is_known(module: nn.Module) -> bool:
    """Return whether `running` can tell the settings of all elastic layers of a module."""
    return all(type(layer) in _LEAVES for layer in elastic_parts(module))


def holds_modules(layer: nn.Module) -> bool:
    """Return whether an elastic layer only says which of its modules run; they are what they are without it."""
    return type(layer) in _HOLDERS


def elastic_parts(module: nn.Module) -> list[Elastic]:
    """Return all elastic layers of a module, itself included."""
    return [part for part in module.modules() if isinstance(part, Elastic)]


def settings(module: nn.Module) -> int:
    """Return how many settings the sizes of the elastic layers of a module have together."""
    sizes = [value for part in elastic_parts(module) for value in vars(part).values() if isinstance(value, Size)]
    return prod({size.decision: len(size.values) for size in sizes}.values())


def running(layers: Sequence[Elastic]) -> Hashable | None:
    """Return the settings of layers that are known; None where one of them runs a mixture."""
    found = []
    for layer in layers:
        if getattr(layer, "_mixed", None):
            return None
        found.append(_LEAVES[type(layer)](layer))
    return tuple(found)
