"""What parts of networks for graphs cost on one graph, and these parts as blocks.

A multiply-accumulate is a product that is computed: features that are 0 are not multiplied.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from search_spaces.attributed_graph import AttributedGraph
from search_spaces.families.gnn_operations import ATTENTION_WIDTH, COMPARED, SOFTMAXED, TRANSFORMED
from search_spaces.inputs import Input
from search_spaces.places import Block

if TYPE_CHECKING:
    from torch import nn

_BYTES = 4


class GraphSizes(NamedTuple):
    """The sizes of a graph.

    Attributes:
        nodes: Number of nodes N.
        messages: Number of messages M: two for each edge, and one of each node to itself.
        features: Features of a node.
        entries: Features of all nodes that are not 0.
    """

    nodes: int
    messages: int
    features: int
    entries: int

    # ---- costs ------------------------------------------------------------------------------------------------------

    def projection(self, inputs: int | None, outputs: int) -> Counter[str]:
        """Return the costs of a projection without bias; of the features of the graph where inputs are None."""
        if inputs is None:
            return Counter(params=self.features * outputs, macs=self.entries * outputs)
        return Counter(params=inputs * outputs, macs=self.nodes * inputs * outputs)

    def attention(self, kind: str, heads: int, width: int) -> Counter[str]:
        """Return the costs of the weights of messages."""
        if kind not in SOFTMAXED:
            return Counter()
        rows = ATTENTION_WIDTH if kind in COMPARED else 1
        vectors = heads * rows * width * (1 if kind == "linear" else 2)
        compared = self.messages * heads * rows if kind in COMPARED else 0
        mix = heads * rows if kind == "generalized_linear" else 0
        return Counter(params=vectors + mix, macs=self.nodes * vectors + compared)

    def aggregate(self, kind: str, heads: int, width: int) -> Counter[str]:
        """Return the costs of messages and of what nodes make of them."""
        total = Counter(macs=self.messages * heads * width)
        if kind in TRANSFORMED:
            weights = heads * width * width
            total += Counter(params=weights + heads * width, macs=self.messages * weights)
        return total

    def combine(self, kind: str, heads: int, width: int) -> Counter[str]:
        """Return the costs of what nodes make of their own features and those gathered."""
        if kind == "identity":
            return Counter()
        weights = 2 * heads * width * width
        return Counter(params=weights + heads * width, macs=self.nodes * weights)

    def memory(self, inputs: int, leaving: tuple[int, int], attention: str, aggregate: str) -> int:
        """Return the bytes that a training step of one layer most likely needs.

        Args:
            inputs: Features that enter; 0 for those of the graph.
            leaving: Heads, and features of a head.
            attention: Its attention.
            aggregate: Its aggregate.
        """
        heads, width = leaving
        outputs = heads * width
        rows = ATTENTION_WIDTH if attention in COMPARED else 1
        params = (self.projection(inputs or None, outputs) + self.attention(attention, heads, width))["params"]
        params += self.aggregate(aggregate, heads, width)["params"]
        of_nodes = self.nodes * (inputs + 3 * outputs + 2 * heads * rows)
        of_messages = self.messages * (outputs * (4 if aggregate in TRANSFORMED else 2) + 4 * heads * rows)
        gradients = self.messages * outputs
        return _BYTES * (4 * params + of_nodes + of_messages + gradients)

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def projection_block(self, graph: AttributedGraph, inputs: int | None, outputs: int) -> Block:
        """Return a projection as a block; of the features of the graph where inputs are None."""
        shape = (self.entries,) if inputs is None else (self.nodes, inputs)

        def build() -> nn.Module:
            from search_spaces.networks.gnn_blocks import projection_block

            return projection_block(graph, inputs, outputs)

        name = f"project {inputs or f'{self.features} features'}-{outputs}"
        return Block(name, shape, build, partial(self.projection, inputs, outputs))

    def part_block(self, graph: AttributedGraph, part: str, kind: str, heads: int, width: int) -> Block | None:
        """Return an attention, an aggregate or a combination as a block; None where nothing is computed."""
        if part == "combine" and kind == "identity":
            return None
        features = (self.nodes, heads * width)
        beside = {"aggregate": (self.messages, heads), "combine": features}
        inputs = [Input(features)] + ([Input(beside[part])] if part in beside else [])
        count = {"attention": self.attention, "aggregate": self.aggregate, "combine": self.combine}[part]

        def build() -> nn.Module:
            from search_spaces.networks.gnn_blocks import part_block

            return part_block(graph, part, kind, heads, width)

        name = f"{part} {kind} {heads}x{width}, {self.messages} messages"
        return Block(name, features, build, partial(count, kind, heads, width), tuple(inputs))
