"""What kind of group a family of units is: the width of a stage, hidden channels, heads, or groups of convolutions."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import fx

from search_spaces.tracing.grouping import Family, Place, common_scope
from search_spaces.tracing.traced import Kind
from search_spaces.tracing.walk import Value, Walk, operation_name


def kinds_of(walk: Walk, families: Sequence[Family], places: Sequence[Place], units: np.ndarray) -> list[Kind]:
    """Return the kind of each family.

    A residual addition makes a stream. Branches that are added inside a block with a residual addition of its own are
    hidden. Heads are known by the product of two values of the input in which they are a batch dimension.
    """
    owner = np.repeat(np.arange(len(families)), [len(family.roots) for family in families])

    def families_at(labels: np.ndarray) -> set[int]:
        here = units[walk.labels.roots(labels)]
        return {int(number) for number in np.unique(owner[here[here >= 0]])}

    heads = {number for labels in walk.notes.heads for number in families_at(labels)}
    grouped = {number for labels in walk.notes.grouped for number in families_at(labels)}
    residual, blocks = additions(walk)
    streams: set[int] = set()
    for node, direct in residual.items():
        value = walk.values[node]
        assert isinstance(value, Value)
        for number in {number for labels in value.dims for number in families_at(labels)}:
            scope = common_scope(places[place].scope for place in families[number].places)
            if direct or not any(is_inside(scope, block) for block in blocks):
                streams.add(number)
    kinds: list[Kind] = []
    for number in range(len(families)):
        if number in streams:
            kinds.append("stream")
        else:
            kinds.append("heads" if number in heads else "grouped" if number in grouped else "hidden")
    return kinds


def is_inside(scope: str, block: str) -> bool:
    """Return whether a module is another one or inside it."""
    return scope == block or scope.startswith(block + ".")


def additions(walk: Walk) -> tuple[dict[str, bool], set[str]]:
    """Return the additions of values of the input, whether one follows from the other, and the modules that add so."""
    above = ancestors(walk.flat.graph)
    found: dict[str, bool] = {}
    scopes: set[str] = set()
    for node in walk.flat.graph.nodes:
        if node.op != "call_function" or operation_name(node) not in ("add", "sub"):
            continue
        pair = [item for item in node.args[:2] if isinstance(item, fx.Node)]
        values = [walk.values[item.name] for item in pair]
        if len(pair) == 2 and all(isinstance(value, Value) and value.live for value in values):
            first, second = pair
            direct = bool(above[first] & bit(above, second) or above[second] & bit(above, first))
            found[node.name] = direct
            if node.meta["scope"]:
                scopes.add(node.meta["scope"])
    return found, scopes


def bit(above: Mapping[fx.Node, int], node: fx.Node) -> int:
    """Return the own bit of a node: the highest of its set."""
    return 1 << (above[node].bit_length() - 1)


def ancestors(graph: fx.Graph) -> dict[fx.Node, int]:
    """Return for each node the set of the nodes that it follows from, and of itself, as bits in the graph's order."""
    found: dict[fx.Node, int] = {}
    for number, node in enumerate(graph.nodes):
        bits = 1 << number
        for source in node.all_input_nodes:
            bits |= found[source]
        found[node] = bits
    return found
