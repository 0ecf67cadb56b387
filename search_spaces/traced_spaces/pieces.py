"""A traced network cut into pieces that stand one behind the other, with one value between two of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from search_spaces.traced_spaces.stages import Stages
from search_spaces.tracing import BATCH, Traced


@dataclass(frozen=True)
class Piece:
    """A part of the graph with one input and one output.

    Args:
        name: The block that it is, such as `layer1.0`; empty for what lies between the blocks.
        enters: Node whose value enters.
        leaves: Node whose value leaves.
        nodes: Its operations in order, and the tensors that they read.
    """

    name: str
    enters: str
    leaves: str
    nodes: tuple[str, ...]


def pieces_of(traced: Traced, follows: Callable[[Iterable[str]], frozenset[str]]) -> tuple[Piece, ...]:
    """Return the pieces of a network in order: its blocks, and what lies between them.

    Pieces between the blocks are as long as the decisions of one of their parts are those of all.

    Args:
        traced: What is known of the network.
        follows: Gives the decisions that nodes follow.

    Returns:
        The pieces; none where the network has several inputs. Where nothing cuts it, it is one piece.
    """
    inputs, parts = list(traced.graph.find_nodes(op="placeholder")), smallest_parts(traced)
    if not parts:
        return ()
    live = _live_in(traced)
    stages = Stages(traced)
    enters, found = inputs[0].name, list[Piece]()
    for part in parts:
        nodes = tuple(node.name for node in _with_constants(part, live))
        piece = Piece(_block_of(stages, part), enters, part[-1].name, nodes)
        if found and _joins(found[-1], piece, follows):
            before = found.pop()
            nodes = tuple(dict.fromkeys((*before.nodes, *nodes)))
            piece = Piece(piece.name, before.enters, piece.leaves, nodes)
        found.append(piece)
        enters = part[-1].name
    return tuple(found)


def smallest_parts(traced: Traced) -> list[list[fx.Node]]:
    """Return the smallest parts with one value between two of them, in order; none where there are several inputs."""
    inputs = list(traced.graph.find_nodes(op="placeholder"))
    if len(inputs) != 1:
        return []
    order = [node for node in traced.graph.nodes if node.op == "call_function"]
    live = _live_in(traced)
    return list(_parts(traced, inputs[0], [node for node in order if node in live]))


def pieces_behind(traced: Traced, ends: Sequence[str]) -> tuple[Piece, ...]:
    """Return the pieces that a network is cut into behind some values that everything passes through.

    Args:
        traced: What is known of the network, which has one input.
        ends: Nodes that are the last of their smallest parts, in the order of the network.
    """
    live = _live_in(traced)
    enters, found, nodes = next(iter(traced.graph.find_nodes(op="placeholder"))).name, list[Piece](), list[fx.Node]()
    parts = smallest_parts(traced)
    for number, part in enumerate(parts, start=1):
        nodes += part
        if part[-1].name in ends or number == len(parts):
            names = tuple(node.name for node in _with_constants(nodes, live))
            found.append(Piece("", enters, part[-1].name, names))
            enters, nodes = part[-1].name, []
    return tuple(found)


def part_of(
    traced: Traced,
    piece: Piece,
    *,
    literals: Mapping[str, tuple[Any, ...]] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Traced:
    """Return what is known of a piece of a network, as of a network of its own.

    Args:
        traced: What is known of the network.
        piece: The piece.
        literals: Node -> arguments that differ from those of the graph, for images of another size.
        shapes: Shapes of all values for images of that size.
    """
    nodes = {node.name: node for node in traced.graph.nodes}
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    enters = nodes[piece.enters]
    copies[enters] = graph.placeholder(enters.name)
    copies[enters].meta = {"dtype": torch.float32, "device": torch.device("cpu"), "scope": "", "call": ""}
    for name in piece.nodes:
        node = nodes[name]
        copies[node] = graph.node_copy(node, copies.__getitem__)
        if literals and name in literals:
            copies[node].args = fx.map_arg(literals[name], copies.__getitem__)
    graph.output(copies[nodes[piece.leaves]])
    inside = set(piece.nodes)
    return replace(
        traced,
        graph=graph,
        shapes=traced.shapes if shapes is None else shapes,
        blocks=tuple(block for block in traced.blocks if block.leaves in inside),
        kernels=tuple(kernel for kernel in traced.kernels if kernel.node in inside),
        literals={},
    )


def _block_of(stages: Stages, part: list[fx.Node]) -> str:
    """Return the block that all nodes of a part lie in; empty where there is none."""
    names = {stages.block_around(str(node.meta.get("scope", ""))) for node in part}
    return names.pop() if len(names) == 1 else ""


def _joins(before: Piece, after: Piece, follows: Callable[[Iterable[str]], frozenset[str]]) -> bool:
    """Return whether two neighbours are one piece."""
    if before.name != after.name or before.name:
        return before.name == after.name
    first, second = follows((before.enters, *before.nodes)), follows((after.enters, *after.nodes))
    return first <= second or second <= first


def _live_in(traced: Traced) -> set[fx.Node]:
    """Return the input and the operations that follow from it; the others compute constants from weights."""
    live = set(traced.graph.find_nodes(op="placeholder"))
    for node in traced.graph.nodes:
        if node.op == "call_function" and not live.isdisjoint(node.all_input_nodes):
            live.add(node)
    return live


def _parts(traced: Traced, start: fx.Node, order: list[fx.Node]) -> Iterator[list[fx.Node]]:
    """Yield the smallest parts between values that everything passes through."""
    place = {node: number for number, node in enumerate(order)}
    last = {node: max((place[user] for user in node.users if user in place), default=len(order)) for node in order}
    furthest = max((place[user] for user in start.users if user in place), default=0)
    part: list[fx.Node] = []
    for number, node in enumerate(order):
        part.append(node)
        is_cut = furthest <= number and _is_whole(traced, node) and number + 1 < len(order)
        furthest = max(furthest, last[node])
        if is_cut:
            yield part
            part = []
    yield part


def _is_whole(traced: Traced, node: fx.Node) -> bool:
    """Return whether a value is one tensor with the batch in front and nowhere else."""
    shape = traced.shapes.get(node.name, ())
    return len(shape) > 1 and shape[0] == BATCH and all(size % BATCH for size in shape[1:])


def _with_constants(part: list[fx.Node], live: set[fx.Node]) -> list[fx.Node]:
    """Return operations with all that they read of weights, each before it is read."""
    found: dict[fx.Node, None] = {}

    def add(node: fx.Node) -> None:
        if node not in found:
            for source in node.all_input_nodes:
                if source not in live:
                    add(source)
            found[node] = None

    for node in part:
        add(node)
    return list(found)
