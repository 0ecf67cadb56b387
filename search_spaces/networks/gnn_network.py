"""The networks of the GNN family, plain and elastic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod

import torch
from torch import Tensor, nn

from search_spaces.architecture import Choice, Setting
from search_spaces.attributed_graph import AttributedGraph
from search_spaces.elastic import Elastic, ElasticChoice
from search_spaces.message_passing import Neighbours, NodeFeatures, Projection, glorot_, projected
from search_spaces.networks.gnn_parts import Aggregate, Attention, Combine, ElasticPart, Gathered, Part, Sent, Weighted
from search_spaces.sizes import AnySize, largest, resolve_number

_MODULES: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "relu": nn.ReLU,
}


class ElasticProjection(Elastic):
    """A `Projection` between features of heads: the first heads, and the first features of each.

    Args:
        inputs: Sizes of what enters: the features, or heads and features of a head.
        outputs: Heads and features of a head that leave.
    """

    def __init__(self, inputs: Sequence[AnySize], outputs: tuple[AnySize, AnySize]) -> None:
        super().__init__()
        self.heads, self.width = outputs
        self.sizes = (*outputs, *inputs)
        self.active = [largest(size) for size in self.sizes]
        self.weight = nn.Parameter(torch.empty(self.active))
        fan_in, fan_out = prod(self.active[2:]), prod(self.active[:2])
        glorot_(self.weight, fan_in, fan_out)

    def activate(self, setting: Setting) -> None:
        found = [resolve_number(size, setting) for size in self.sizes]
        self.active = [number for number in found if number is not None]

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        for size in self.sizes:
            if not isinstance(size, int):
                for choice in size.values:
                    yield size.decision, choice, self

    def _active_weight(self) -> Tensor:
        kept = self.weight[tuple(slice(number) for number in self.active)]
        return kept.reshape(prod(self.active[:2]), -1)

    def forward(self, x: Tensor, *where: Tensor) -> Tensor:
        return projected(x, self._active_weight(), where=where)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        weight = self._active_weight()
        plain = nn.utils.skip_init(Projection, weight.shape[1], weight.shape[0], bias=False, device=weight.device)
        plain.weight.copy_(weight)
        return plain.train(self.training)


class Heads(nn.Module):
    """Features of nodes as those of heads, [N, H D] -> [N, H, D]."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.heads, -1))


class ElasticHeads(Elastic):
    """Features of nodes as those of a number of heads that follows an architecture; see `Heads`."""

    def __init__(self, heads: AnySize) -> None:
        super().__init__()
        self.heads, self.active_heads = heads, largest(heads)

    @property
    def is_fixed(self) -> bool:
        return isinstance(self.heads, int)

    def activate(self, setting: Setting) -> None:
        heads = resolve_number(self.heads, setting)
        if heads is not None:
            self.active_heads = heads

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.active_heads, -1))

    def extract(self) -> nn.Module:
        return Heads(self.active_heads).train(self.training)


class GraphLayer(nn.Module):
    """One layer of message passing.

    Args:
        project: Gives the features that are sent.
        heads: Divides them into those of heads.
        attention: Gives the weights of messages.
        aggregate: Gives what nodes make of what arrives.
        combine: Gives what they make of that and of their own features; None for the first alone.
        activation: Stands at the end.
        dropout: Probability of dropout on what enters.
        last: Whether the mean over heads leaves, instead of one head after the other.
    """

    def __init__(
        self,
        project: nn.Module,
        heads: nn.Module,
        parts: tuple[nn.Module, nn.Module, nn.Module | None],
        activation: nn.Module,
        *,
        dropout: float,
        last: bool,
    ) -> None:
        super().__init__()
        self.drop, self.project, self.heads = nn.Dropout(dropout), project, heads
        self.attention, self.aggregate, self.combine = parts
        self.activation, self.last = activation, last

    def forward(self, x: Tensor, neighbours: Neighbours, *where: Tensor) -> Tensor:
        features = self.heads(self.project(self.drop(x), *where))
        weights = self.attention(Sent(features, neighbours))
        out = self.aggregate(Weighted(features, weights, neighbours))
        if self.combine is not None:
            out = self.combine(Gathered(features, out))
        return self.activation(out.mean(1) if self.last else out.flatten(1))


class GraphNetwork(nn.Module):
    """Layers of message passing over the whole of one graph; nodes [B] -> logits [B, classes].

    Args:
        graph: The graph, which is no weight and is not saved.
        layers: Its layers.
    """

    def __init__(self, graph: AttributedGraph, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.features, self.neighbours = NodeFeatures(graph), Neighbours(graph)
        self.layers = nn.ModuleList(layers)

    def forward(self, nodes: Tensor) -> Tensor:
        x, *where = self.features()
        for layer in self.layers:
            x = layer(x, self.neighbours, *where)
            where = []
        return x.index_select(0, nodes)

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive features of all nodes [N, D]: the layers."""
        return list(self.layers)


def elastic_parts(
    names: tuple[str, str, str], choices: tuple[Sequence[str], ...], sizes: tuple[AnySize, AnySize], dropout: float
) -> tuple[nn.Module, nn.Module, nn.Module | None]:
    """Return attention, aggregate and combination of a layer; each choice has weights of its own.

    Args:
        names: Decisions of the three.
        choices: Choices of each; a combination without a choice is left out.
        sizes: Heads and features of a head.
        dropout: Dropout of the weights of messages.
    """
    made = []
    for name, part, kinds in zip(names, (Attention, Aggregate, Combine), choices):
        options: dict[str, nn.Module] = {kind: _elastic_part(part, kind, sizes, dropout) for kind in kinds}
        made.append(ElasticChoice(name, options))  # type: ignore[arg-type]
    attention, aggregate, combine = made
    return attention, aggregate, combine if len(choices[2]) > 1 else None


def _elastic_part(part: type[Part], kind: str, sizes: tuple[AnySize, AnySize], dropout: float) -> ElasticPart:
    heads, width = sizes
    return ElasticPart(part(kind, largest(heads), largest(width), dropout), heads, width)


def activation_choice(name: str, choices: Sequence[str]) -> ElasticChoice:
    """Return the activations that a decision chooses from."""
    return ElasticChoice(name, {choice: _MODULES[choice]() for choice in choices})
