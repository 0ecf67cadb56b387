"""The places of a traced network and the blocks that stand there, each extracted from its piece of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from hashlib import blake2b
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import fx

from search_spaces.architecture import Architecture, Choice
from search_spaces.places import UNSEEN, Block, Place
from search_spaces.traced_spaces.multiplications import products_of
from search_spaces.traced_spaces.pieces import Piece, part_of, pieces_of
from search_spaces.traced_spaces.traced_costs import Counting, Shapes
from search_spaces.traced_spaces.traced_decisions import RESOLUTION, Plan
from search_spaces.tracing import BATCH, Traced

if TYPE_CHECKING:
    from torch import nn

    from search_spaces.elastic import Elastic

_MOST_BLOCKS = 4096  # of one place: more can neither be listed nor measured
_SHOWN = 5


@dataclass(frozen=True)
class Network:
    """A traced network, its decisions and its costs.

    Args:
        traced: What is known of the network.
        plan: What of it follows decisions.
        counting: Its costs.
        shapes: Side of the images in pixels -> shapes of all values; empty where there is one side only.
    """

    traced: Traced
    plan: Plan
    counting: Counting
    shapes: Mapping[int, Shapes]

    @cached_property
    def nodes(self) -> Mapping[str, fx.Node]:
        """Nodes of the graph by name."""
        return {node.name: node for node in self.traced.graph.nodes}

    def shapes_at(self, side: Choice | None) -> Shapes:
        """Return the shapes of all values for images of a side; None for the traced one."""
        return self.traced.shapes if side is None else self.shapes[int(side)]

    def part(self, piece: Piece, side: Choice | None) -> Traced:
        """Return what is known of a piece of the network, as of a network of its own."""
        literals = {} if side is None else self.traced.literals[int(side)]
        return part_of(self.traced, piece, literals=literals, shapes=self.shapes_at(side))


def places_of(network: Network) -> tuple[Place, ...]:
    """Return the places of a network; none where a piece of it follows too many decisions."""
    counts = {decision.name: len(decision.choices) for decision in network.plan.decisions}
    order = list(counts)
    places = []
    for piece in pieces_of(network.traced, network.counting.follows):
        names = tuple(sorted(network.counting.follows((piece.enters, *piece.nodes)), key=order.index))
        if prod(counts[name] for name in names) > _MOST_BLOCKS:
            return ()
        places.append(Place(names, _Stands(network, piece, names)))
    return tuple(places)


class _Stands:
    """The block that stands in one place, from the values of its decisions.

    Args:
        network: The network, its decisions and its costs.
        piece: The part of it that is meant.
        names: Names of the decisions that the part follows.
    """

    def __init__(self, network: Network, piece: Piece, names: tuple[str, ...]) -> None:
        self._network, self._piece, self._names = network, piece, names
        self._costs = network.counting.costs(piece.nodes).only(names)
        self._nodes = [network.nodes[name] for name in piece.nodes]
        self._runs = {name: network.counting.presence([name]) for name in piece.nodes}
        self._extents = {name: network.counting.extents_of(name) for name in (piece.enters, *piece.nodes)}
        self._elastic = cache(self._made)

    def __call__(self, *values: Choice) -> Block | None:
        chosen = dict(zip(self._names, values))
        at = {name: self._costs.choices[name].index(value) for name, value in chosen.items()}
        running = [node for node in self._nodes if self._runs[node.name].number(at)]
        if not any(node.op == "call_function" for node in running):
            return None
        side = chosen.get(RESOLUTION)
        sizes = {node.name: self._sizes(node, side, at) for node in (self._network.nodes[self._piece.enters], *running)}
        return Block(
            f"{self._label} {self._widths(running, sizes)}{UNSEEN}{_digest(self._piece.enters, running, sizes)}",
            sizes[self._piece.enters][1:],
            partial(self._build, side, Architecture(chosen)),
            partial(self._counted, chosen),
        )

    # ---- what it is called ----------------------------------------------------------------------------------------

    @property
    def _label(self) -> str:
        """What the block is called: its class, or where it lies."""
        if self._piece.name:
            return type(self._network.traced.module.get_submodule(self._piece.name)).__name__
        scopes = [str(node.meta.get("scope", "")) for node in self._nodes if node.op == "call_function"]
        return next((scope.partition(".")[0] for scope in scopes if scope), "network")

    def _sizes(self, node: fx.Node, side: Choice | None, at: Mapping[str, int]) -> tuple[int, ...]:
        """Return the shape of a value for one example."""
        extents = self._extents[node.name]
        if node.op == "get_attr" or not extents:
            return tuple(extent.number(at) for extent in extents)
        shape = self._network.shapes_at(side)[node.name]
        sizes = [size // BATCH if size % BATCH == 0 else size for size in shape]
        return tuple(extent.number(at) if extent.tables else size for extent, size in zip(extents, sizes))

    def _widths(self, running: list[fx.Node], sizes: Mapping[str, tuple[int, ...]]) -> str:
        """Return the outputs of its first convolutions and linear layers, for people."""
        layers = [node for node in running if products_of(node, lambda one: len(sizes.get(one.name, ())) or 4)]
        weights = [source for node in layers for source in node.all_input_nodes[1:2] if source.op == "get_attr"]
        shown = [str(sizes[weight.name][0]) for weight in weights if weight.name in sizes]
        return "-".join(shown[:_SHOWN]) + ("-.." if len(shown) > _SHOWN else "")

    # ---- what it is -----------------------------------------------------------------------------------------------

    def _counted(self, chosen: Mapping[str, Choice]) -> dict[str, int]:
        columns = {name: np.array([value]) for name, value in chosen.items()} or {"": np.zeros(1)}
        return {name: int(column[0]) for name, column in self._costs(columns).items()}

    def _build(self, side: Choice | None, architecture: Architecture) -> nn.Module:
        elastic = self._elastic(side)
        elastic.activate(architecture)
        block = elastic.extract()
        assert block is not None
        return block.to(torch.empty(0).device)

    def _made(self, side: Choice | None) -> Elastic:
        """Return the elastic network of the piece, with the weights of the traced network."""
        from search_spaces.elastic.traced import ElasticGraph

        plan, network = self._network.plan, self._network
        traced = network.part(self._piece, side)
        scopes, nodes = {block.scope for block in traced.blocks}, {kernel.node for kernel in traced.kernels}
        with torch.device("cpu"):
            return ElasticGraph(
                traced,
                groups=plan.groups,
                blocks={scope: runs for scope, runs in plan.blocks.items() if scope in scopes},
                kernels={node: size for node, size in plan.kernels.items() if node in nodes},
            )


def _digest(enters: str, running: list[fx.Node], sizes: Mapping[str, tuple[int, ...]]) -> str:
    """Return a few letters that are the same for blocks that compute the same with other weights."""
    numbers = {enters: 0}
    told = []
    for node in running:
        numbers[node.name] = len(numbers)
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda one: f"%{numbers.get(one.name)}")
        what = "" if node.op == "get_attr" else f"{node.target} {args} {kwargs}"
        told.append(f"{what} {sizes[node.name]}")
    return blake2b("\n".join(told).encode(), digest_size=3).hexdigest()
