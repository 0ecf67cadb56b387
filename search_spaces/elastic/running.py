"""What decides the computation of a module that holds elastic layers, beside its weights and its input.

Whoever remembers a computation, such as a recorded one, asks for this before it is used again.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from math import prod
from typing import Any

from torch import nn

from search_spaces.elastic.choice import ElasticChoice
from search_spaces.elastic.chunked_linear import ElasticChunkedLinear
from search_spaces.elastic.conv import ElasticConv2d
from search_spaces.elastic.cropped_conv import CroppedConv2d
from search_spaces.elastic.depth import ElasticDepth, ElasticStack
from search_spaces.elastic.embedding import ElasticClassToken, ElasticEmbedding, ElasticPositions
from search_spaces.elastic.heads import ElasticAttend
from search_spaces.elastic.layer import Elastic, followed
from search_spaces.elastic.layer_norm import ElasticLayerNorm
from search_spaces.elastic.linear import ElasticLinear
from search_spaces.elastic.norm import ElasticBatchNorm2d
from search_spaces.elastic.resize import ElasticResize
from search_spaces.elastic.span import ElasticSpan

_LEAVES: Mapping[type, Callable[[Any], Hashable]] = {
    ElasticConv2d: lambda layer: (layer.active_out, layer.active_kernel),
    CroppedConv2d: lambda layer: (layer.active_out, layer.active_kernel),
    **dict.fromkeys((ElasticLinear, ElasticChunkedLinear), lambda layer: layer.active_out),
    ElasticLayerNorm: lambda layer: None,
    **dict.fromkeys((ElasticEmbedding, ElasticPositions, ElasticClassToken), lambda layer: layer.active_size),
    ElasticAttend: lambda layer: layer.active_heads,
    ElasticSpan: lambda layer: layer.active_span,
    ElasticBatchNorm2d: lambda layer: (layer.synchronised, layer.momentum),
    ElasticResize: lambda layer: layer.resize.size,
}
"""Layers by their very type: one that generates its weights may follow an architecture in ways of its own."""
_HOLDERS = (ElasticChoice, ElasticDepth, ElasticStack)


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
    choices = {decision: len(of) for part in elastic_parts(module) for decision, of in followed(part).items()}
    return prod(choices.values())


def running(layers: Sequence[Elastic]) -> Hashable | None:
    """Return the settings of layers that are known; None where one of them runs a mixture."""
    found = []
    for layer in layers:
        if getattr(layer, "_mixed", None):
            return None
        found.append(_LEAVES[type(layer)](layer))
    return tuple(found)
