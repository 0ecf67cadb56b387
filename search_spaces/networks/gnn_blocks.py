"""Parts of networks for graphs as modules by themselves, whose inputs have graphs as their first dimension."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from search_spaces.attributed_graph import AttributedGraph
from search_spaces.message_passing import Neighbours, NodeFeatures, Projection
from search_spaces.networks.gnn_network import Heads
from search_spaces.networks.gnn_parts import Aggregate, Attention, Combine, Gathered, Part, Sent, Weighted

_PARTS: dict[str, type[Part]] = {"attention": Attention, "aggregate": Aggregate, "combine": Combine}


class _EachGraph(nn.Module):
    """A module that runs a part on each graph of a batch: inputs [B, ...] -> [B, ...]."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.stack([self.one(*parts) for parts in zip(*inputs, strict=True)])

    def one(self, *inputs: Tensor) -> Tensor:
        """Return what the part makes of one graph."""
        raise NotImplementedError


class _FeatureProjection(_EachGraph):
    """The projection of the features of a graph, whose values [B, X] enter."""

    def __init__(self, graph: AttributedGraph, outputs: int) -> None:
        super().__init__()
        self.features, self.project = NodeFeatures(graph), Projection(graph.features, outputs, bias=False)

    def one(self, *inputs: Tensor) -> Tensor:
        _, *where = self.features()
        return self.project(inputs[0], *where)


class _PartOfLayer(_EachGraph):
    """A part of a layer; features of nodes enter, [B, N, H D]."""

    def __init__(self, graph: AttributedGraph, part: Part, heads: int) -> None:
        super().__init__()
        self.neighbours, self.part, self.heads = Neighbours(graph), part, Heads(heads)

    def one(self, *inputs: Tensor) -> Tensor:
        features = self.heads(inputs[0])
        given: dict[type[Part], Callable[[], object]] = {
            Attention: lambda: Sent(features, self.neighbours),
            Aggregate: lambda: Weighted(features, inputs[1], self.neighbours),
            Combine: lambda: Gathered(features, self.heads(inputs[1])),
        }
        return self.part(given[type(self.part)]())


def projection_block(graph: AttributedGraph, inputs: int | None, outputs: int) -> nn.Module:
    """Return a projection: of features [B, N, inputs], or of those of the graph where inputs are None."""
    if inputs is None:
        return _FeatureProjection(graph, outputs)
    return Projection(inputs, outputs, bias=False)


def part_block(graph: AttributedGraph, part: str, kind: str, heads: int, width: int) -> nn.Module:
    """Return an attention, an aggregate or a combination by itself."""
    return _PartOfLayer(graph, _PARTS[part](kind, heads, width), heads)
