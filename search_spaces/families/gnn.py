"""Networks for the nodes of a graph: layers of message passing, each with its own attention, aggregate and sizes.

Paper: Zhou et al., Auto-GNN, arXiv 1909.03184; Gao et al., GraphNAS, arXiv 1904.09981 and its released code, from which
the formulas are. Published are 9,408 choices for each layer, 88,510,464 for two.
Differs: the published count has a width for the last layer, too, which the number of classes overrides: 12,644,352 of
its architectures differ, and these are the space; `overridden` adds the width that does nothing. The released symmetric
attention adds one of its brackets twice; here both directions count the same. Norms and residual connections, which
the released code switches off for graphs of citations, are left out. Attentions with a softmax are dropped out, as in
GAT; `const` is not. A combination by a layer, of which the paper says no formula, reads a node's own features and the
gathered ones. Weights are drawn by Glorot and Bengio.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from search_spaces.alone import Alone
from search_spaces.architecture import Choice, Decision, InvalidArchitecture
from search_spaces.attributed_graph import AttributedGraph, given_graph
from search_spaces.errors import FieldError
from search_spaces.families import gnn_operations as known
from search_spaces.families.gnn_costs import GraphSizes
from search_spaces.inputs import Input
from search_spaces.limits import check_fields, check_most, rise
from search_spaces.places import Block, Place
from search_spaces.sizes import AnySize, Size
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

KINDS = ("attention", "aggregate", "activation", "heads", "width")
"""Decisions of a layer, in the order of published tokens."""
_MOST = {"layers": 64, "classes": 10**6, "memory_gb": 10**6, "heads": 1024, "widths": 2**14}


@dataclass(frozen=True, kw_only=True)
class GraphNetworks:
    """The numbers of a family of networks for one graph."""

    graph: AttributedGraph
    classes: int
    layers: int
    attentions: tuple[str, ...]
    aggregates: tuple[str, ...]
    combines: tuple[str, ...]
    activations: tuple[str, ...]
    heads: tuple[int, ...]
    widths: tuple[int, ...]
    dropout: float
    overridden: bool
    memory_gb: float

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits = [
            ("classes", self.classes >= 2, "at least 2"),
            ("layers", self.layers >= 1, "at least 1"),
            *((name, rise(getattr(self, name)), "numbers from 1 that rise") for name in ("heads", "widths")),
            ("dropout", 0 <= self.dropout < 1, "from 0 to below 1"),
            ("memory_gb", self.memory_gb > 0, "more than 0"),
        ]
        check_fields(self, limits)
        needed = self.memory_of(self.heads[-1], self.widths[-1])
        if needed > self.memory_gb:
            graph = f"{self.graph.nodes:,} nodes and {self.graph.links:,} edges"
            most = f"{self.heads[-1]} heads of {self.widths[-1]} features"
            raise FieldError(
                "memory_gb",
                f"must be at least {needed:.1f}, which training {most} on {graph} most likely needs, got "
                f"{self.memory_gb:g}; give fewer heads or smaller widths",
            )

    def memory_of(self, heads: int, width: int) -> float:
        """Return the memory in GB that a training step of these sizes in every layer most likely needs."""
        sizes, inputs, total = self.sizes, 0, 0
        for layer in range(1, self.layers + 1):
            out = self.classes if layer == self.layers else width
            total += max(
                sizes.memory(inputs, (heads, out), attention, aggregate)
                for attention in self.attentions
                for aggregate in self.aggregates
            )
            inputs = heads * out
        return total / 1e9

    @property
    def sizes(self) -> GraphSizes:
        """The sizes of the graph, of which costs are made."""
        graph = self.graph
        return GraphSizes(graph.nodes, len(graph.messages[0]), graph.features, len(graph.values))

    def decisions(self) -> tuple[Decision, ...]:
        """Return the decisions of all layers."""
        choices: dict[str, tuple[Choice, ...]] = {
            "attention": self.attentions,
            "aggregate": self.aggregates,
            "activation": self.activations,
            "heads": self.heads,
            "width": self.widths,
        }
        made = []
        for layer in range(1, self.layers + 1):
            kinds = KINDS if layer < self.layers or self.overridden else KINDS[:-1]
            made += [Decision(f"layer{layer}.{kind}", choices[kind]) for kind in kinds]
            if len(self.combines) > 1:
                made.append(Decision(f"layer{layer}.combine", self.combines))
        return tuple(made)

    # ---- the network ------------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        """Return the network of the largest architecture, with elastic leaves and fresh weights."""
        from search_spaces.networks.gnn_network import GraphNetwork

        return GraphNetwork(self.graph, [self._layer(layer) for layer in range(1, self.layers + 1)])

    def _layer(self, layer: int) -> nn.Module:
        from search_spaces.networks import gnn_network as made

        name, (heads, width) = f"layer{layer}.", self._leaving(layer)
        inputs: tuple[AnySize, ...] = (self.graph.features,) if layer == 1 else self._leaving(layer - 1)
        parts = made.elastic_parts(
            (f"{name}attention", f"{name}aggregate", f"{name}combine"),
            (self.attentions, self.aggregates, self.combines),
            (heads, width),
            self.dropout,
        )
        return made.GraphLayer(
            made.ElasticProjection(inputs, (heads, width)),
            made.ElasticHeads(heads),
            parts,
            made.activation_choice(f"{name}activation", self.activations),
            dropout=self.dropout,
            last=layer == self.layers,
        )

    def _leaving(self, layer: int) -> tuple[AnySize, AnySize]:
        """Return heads of a layer, and features of a head."""
        heads = Size(f"layer{layer}.heads", {number: number for number in self.heads})
        if layer == self.layers:
            return heads, self.classes
        return heads, Size(f"layer{layer}.width", {number: number for number in self.widths})

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        """Return the places of projections, attentions, aggregates and combinations."""
        places: list[Place] = []
        for layer in range(1, self.layers + 1):
            name, last = f"layer{layer}.", layer == self.layers
            own = (f"{name}heads",) if last else (f"{name}heads", f"{name}width")
            before = () if layer == 1 else (f"layer{layer - 1}.heads", f"layer{layer - 1}.width")
            places.append(Place((*before, *own), partial(self._projection, layer == 1, last)))
            kinds = ("attention", "aggregate", "combine")[: 2 + (len(self.combines) > 1)]
            places += [Place((f"{name}{kind}", *own), partial(self._part, kind, last)) for kind in kinds]
        return places

    def _projection(self, first: bool, last: bool, *numbers: int) -> Block:
        inputs, out = (None, numbers) if first else (numbers[0] * numbers[1], numbers[2:])
        width = out[0] * (self.classes if last else out[1])
        return self.sizes.projection_block(self.graph, inputs, width)

    def _part(self, part: str, last: bool, kind: str, heads: int, width: int = 0) -> Block | None:
        return self.sizes.part_block(self.graph, part, kind, heads, self.classes if last else width)

    def sharing(self, architecture: Mapping[str, Choice]) -> dict[str, str]:
        """Return the keys of the layers: those of one key have the same shapes, attention and activation."""
        keys, inputs = {}, str(self.graph.features)
        for layer in range(1, self.layers + 1):
            own = {kind: architecture.get(f"layer{layer}.{kind}", self.classes) for kind in KINDS}
            if layer == self.layers:
                own["width"] = self.classes
            parts = (inputs, own["heads"], own["width"], own["attention"], own["activation"])
            keys[f"layers.{layer - 1}"] = " ".join(map(str, parts))
            inputs = f"{own['heads']}x{own['width']}"
        return keys

    # ---- tokens -----------------------------------------------------------------------------------------------------

    def parse(self, tokens: str) -> dict[str, Choice]:
        """Return the decisions of published tokens; the last width does nothing.

        Raises:
            InvalidArchitecture: There are too few or too many, or one is no number where it should be.
        """
        found = re.findall(r"[A-Za-z0-9_]+", tokens)
        if len(found) != len(KINDS) * self.layers:
            wanted = f"{len(KINDS)} tokens for each of {self.layers} layers"
            raise InvalidArchitecture(f"tokens = {tokens!r} must be {wanted}, got {len(found)}")
        values: dict[str, Choice] = {}
        for place, token in enumerate(found):
            layer, kind = place // len(KINDS) + 1, KINDS[place % len(KINDS)]
            if kind in ("heads", "width") and not token.isdecimal():
                raise InvalidArchitecture(f"tokens = {tokens!r}: {kind} must be a number, got {token!r}")
            values[f"layer{layer}.{kind}"] = int(token) if token.isdecimal() else token
        if not self.overridden:
            del values[f"layer{self.layers}.width"]
        return values


def tokens_of(architecture: Mapping[str, Choice], *, classes: int) -> str:
    """Return an architecture as published tokens; the width of the last layer is the number of classes."""
    layers = max(int(name.removeprefix("layer").split(".")[0]) for name in architecture)
    names = [f"layer{layer}.{kind}" for layer in range(1, layers + 1) for kind in KINDS]
    return "|".join(str(architecture.get(name, classes)) for name in names)


def _known(name: str, given: Sequence[str], choices: tuple[str, ...]) -> tuple[str, ...]:
    """Return given operations with the cheapest first."""
    if unknown := [one for one in given if one not in choices]:
        raise FieldError(name, f"must be of {', '.join(choices)}, got {unknown[0]!r}")
    if not given:
        raise FieldError(name, f"must be at least one of {', '.join(choices)}, got none")
    return tuple(one for one in choices if one in given)


def gnn(
    *,
    graph: AttributedGraph | None = None,
    nodes: int = 2708,
    features: int = 1433,
    links: int = 5278,
    classes: int = 7,
    layers: int = 2,
    attentions: Sequence[str] = known.ATTENTIONS,
    aggregates: Sequence[str] = known.AGGREGATES,
    combines: Sequence[str] = known.COMBINES[:1],
    activations: Sequence[str] = known.ACTIVATIONS,
    heads: Sequence[int] = known.HEADS,
    widths: Sequence[int] = known.WIDTHS,
    dropout: float = 0.6,
    overridden: bool = False,
    memory_gb: float = 16.0,
) -> Space:
    """Return the published space for one graph.

    Networks are called with nodes and give their logits; the graph belongs to the space. Rows of tables name an
    architecture by `tokens`: attention, aggregate, activation, heads and width of each layer.

    Args:
        graph: Graph of the data; without it one of the following sizes is made up, for costs and latency.
        nodes: Number of nodes.
        features: Features of a node.
        links: Number of edges.
        classes: Number of outputs.
        layers: Number of layers; the last one gives the classes.
        attentions: Weights of messages: `const`, `gcn`, `gat`, `gat_sym`, `cos`, `linear`, `generalized_linear`.
        aggregates: What a node makes of its messages: `sum`, `mean`, `max`, `mlp`.
        combines: What it makes of that and of itself: `identity`, or also `mlp`, which adds a decision.
        activations: Activations of layers, the last one included.
        heads: Choices of the number of heads.
        widths: Choices of the features of a head.
        dropout: Probability of dropout on what enters a layer, and on soft-maxed weights of messages.
        overridden: Whether the last layer has a decision of its width, which does nothing, as published.
        memory_gb: Memory that a training may take.
    """
    config = GraphNetworks(
        graph=given_graph(graph, nodes, features, links),
        classes=classes,
        layers=layers,
        attentions=_known("attentions", attentions, known.ATTENTIONS),
        aggregates=_known("aggregates", aggregates, known.AGGREGATES),
        combines=_known("combines", combines, known.COMBINES),
        activations=_known("activations", activations, known.ACTIVATIONS),
        heads=tuple(heads),
        widths=tuple(widths),
        dropout=dropout,
        overridden=overridden,
        memory_gb=memory_gb,
    )
    return Space(
        name="gnn",
        decisions=config.decisions(),
        inputs=(Input((), "int64", values=config.graph.nodes),),
        build=config.build,
        places=config.places,
        formats={("tokens",): config.parse},
        alone=Alone(epochs=300, sharing=config.sharing),
    )
