"""NAS-Bench-Graph: four operations on a graph, each fed by the raw input or an earlier one.

Paper: Qin et al., NAS-Bench-Graph, arXiv 2206.09166. Operations that feed no other are concatenated to the output.
Differs: members are not listed one by one. They are what the four operations compute: skips hand on what they are
given, parallel branches have no order, and the raw input itself is no output. That gives the 26,206 of the published
tables, and their way of writing each. Networks have the parameters of the tables, weight by weight: each of the four
places has a batch norm, also one that is skipped, and ARMA has a weight that nothing reads. The order of dropout, norm
and activation is ours. Multiply-accumulates count what is computed: features that are 0 are not multiplied, and the
weight that nothing reads is not either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from search_spaces.alone import Alone
from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.attributed_graph import AttributedGraph, given_graph
from search_spaces.errors import FieldError
from search_spaces.graph import Graph
from search_spaces.inputs import Input
from search_spaces.space import Columns, Space

if TYPE_CHECKING:
    from torch import nn

OPERATIONS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")
"""In the order of the published code; here order says nothing about cost."""
NODES = 4
_SKIP = "skip"


class _Node(NamedTuple):
    """One place of the network and the place that feeds it; 0 is the raw input, others count from 1."""

    source: int
    operation: str


def to_string(architecture: Mapping[str, Choice]) -> tuple[str, str]:
    """Return the columns `link` and `ops` of published tables."""
    nodes = _nodes(architecture)
    return "x" + "".join(str(node.source) for node in nodes), "|".join(node.operation for node in nodes)


def _parse(link: str, ops: str) -> dict[str, Choice]:
    sources, operations = link.removeprefix("x"), ops.split("|")
    if len(sources) != NODES or not sources.isdecimal() or len(operations) != NODES or sources[0] != "0":
        raise InvalidArchitecture(
            f"link must be {NODES} digits that begin with 0 and ops {NODES} operations with | between, "
            f"got {link!r} and {ops!r}"
        )
    return _values([_Node(int(source), operation) for source, operation in zip(sources, operations)])


def _nodes(values: Mapping[str, Choice]) -> list[_Node]:
    return [_Node(int(values[f"input{i}"]) if i > 1 else 0, str(values[f"op{i}"])) for i in range(1, NODES + 1)]


def _values(nodes: Sequence[_Node]) -> dict[str, Choice]:
    inputs: dict[str, Choice] = {f"input{i}": node.source for i, node in enumerate(nodes, start=1) if i > 1}
    return inputs | {f"op{i}": node.operation for i, node in enumerate(nodes, start=1)}


def _fold(values: dict[str, Choice]) -> dict[str, Choice]:
    missing = [name for i in range(1, NODES + 1) for name in (f"input{i}", f"op{i}")[i == 1 :] if name not in values]
    if missing:
        raise InvalidArchitecture(f"decision {missing[0]!r} has no value")
    nodes = _without_skips(_nodes(values))
    if not nodes:
        raise InvalidArchitecture("all four operations are skips: nothing is computed")
    lead = NODES - len(nodes)
    sources, operations = min(_orders(nodes))
    placed = [_Node(source + lead, OPERATIONS[index]) for source, index in zip(sources, operations)]
    return _values([*(_Node(i, _SKIP) for i in range(lead)), *placed])


def _without_skips(nodes: Sequence[_Node]) -> list[_Node]:
    """Return the operations that compute, and a skip only where a node that feeds others is an output as well."""
    place, kept, outputs = {0: 0}, [], Counter[int]()
    feeding = {node.source for node in nodes}
    for i, node in enumerate(nodes, start=1):
        if node.operation == _SKIP:
            place[i] = place[node.source]
        else:
            kept.append(_Node(place[node.source], node.operation))
            place[i] = len(kept)
        if i not in feeding:
            outputs[place[i]] += 1
    feeding = {node.source for node in kept}
    for place_of_output, times in sorted(outputs.items()):
        if place_of_output > 0 and (times > 1 or place_of_output in feeding):
            kept += [_Node(place_of_output, _SKIP)] * times
    return kept


def _orders(nodes: Sequence[_Node]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield all ways to number the nodes such that sources stand first and do not decrease: sources and operations."""
    operations = [OPERATIONS.index(node.operation) for node in nodes]
    for order in permutations(range(1, len(nodes) + 1)):
        number = {0: 0, **{old: new for new, old in enumerate(order, start=1)}}
        sources = [number[nodes[old - 1].source] for old in order]
        if sources == sorted(sources) and all(source < i for i, source in enumerate(sources, start=1)):
            yield sources, [operations[old - 1] for old in order]


def graphs(architecture: Mapping[str, Choice]) -> list[Graph]:
    """Return the network; operations that feed no other lead to the output."""
    nodes = _nodes(architecture)
    names = ("input", *(f"{i} {node.operation}" for i, node in enumerate(nodes, start=1)), "output")
    feeding = {node.source for node in nodes}
    edges = [(node.source, i, "") for i, node in enumerate(nodes, start=1)]
    edges += [(i, NODES + 1, "") for i in range(1, NODES + 1) if i not in feeding]
    return [Graph(name="network", nodes=names, edges=tuple(edges))]


def path_traits(columns: Columns) -> np.ndarray:
    """Return how deep each graph is and how wide [N, 6]: operations that compute, the longest chain and the mean one of
    them, operations fed by the raw input, outputs, and linear layers among the outputs."""
    operations = np.stack([columns[f"op{i}"] for i in range(1, NODES + 1)], axis=1)
    sources = np.stack([np.zeros(len(operations), int), *(columns[f"input{i}"] for i in range(2, NODES + 1))], axis=1)
    computes = operations != _SKIP
    depth = np.zeros((len(operations), NODES + 1))
    feeds = np.zeros((len(operations), NODES + 1), dtype=bool)
    every = np.arange(len(operations))
    for node in range(NODES):
        depth[:, node + 1] = depth[every, sources[:, node]] + computes[:, node]
        feeds[every, sources[:, node]] = True
    outputs = ~feeds[:, 1:]
    raw = ((depth[every[:, None], sources] == 0) & computes).sum(axis=1)
    mean = (depth[:, 1:] * outputs).sum(axis=1) / outputs.sum(axis=1)
    linear = (outputs & (operations == "fc")).sum(axis=1)
    fields = [computes.sum(axis=1), depth.max(axis=1), mean, raw, outputs.sum(axis=1), linear]
    return np.stack(fields, axis=1).astype(float)


def _network(graph: AttributedGraph, width: int, classes: int, dropout: float, architecture: Architecture) -> nn.Module:
    """Return the network of one architecture with fresh weights."""
    from search_spaces.networks.nasbench_graph_network import NASBenchGraphNetwork

    nodes = [(node.source, node.operation) for node in _nodes(architecture)]
    return NASBenchGraphNetwork(graph, nodes, width, classes, dropout)


def _cost(graph: AttributedGraph, width: int, classes: int, columns: Columns) -> dict[str, np.ndarray]:
    """Return exact costs of canonical encodings."""
    operations = np.stack([columns[f"op{i}"] for i in range(1, NODES + 1)], axis=1)
    sources = np.stack([np.zeros(len(operations), int), *(columns[f"input{i}"] for i in range(2, NODES + 1))], axis=1)
    every = np.arange(len(operations))
    raw, feeds = np.ones((len(operations), NODES + 1), bool), np.zeros((len(operations), NODES + 1), bool)
    params = np.full(len(operations), NODES * 2 * width, np.int64)
    macs = np.zeros(len(operations), np.int64)
    nodes, messages, entries = graph.nodes, len(graph.messages[0]), len(graph.values)
    for place in range(NODES):
        from_raw = raw[every, sources[:, place]]
        feeds[every, sources[:, place]] = True
        raw[:, place + 1] = from_raw & (operations[:, place] == _SKIP)
        for operation, (weights, vectors, between, products) in _PARTS.items():
            chosen = operations[:, place] == operation
            inputs = np.where(from_raw, graph.features, width)
            params += chosen * (weights * inputs * width + vectors * width + between * width * width)
            macs += chosen * (weights * np.where(from_raw, entries, nodes * width) * width)
            macs += chosen * (products * messages * width + (vectors - 1) * nodes * width)
    outputs = (~feeds[:, 1:]).sum(axis=1)
    params += outputs * width * width + width + width * classes + classes
    macs += nodes * (outputs * width * width + width * classes)
    return {"params": params, "macs": macs}


_PARTS = {
    "gat": (1, 3, 0, 1),
    "gcn": (1, 1, 0, 1),
    "gin": (1, 1, 0, 0),
    "cheb": (2, 1, 0, 0),
    "sage": (2, 1, 0, 0),
    "arma": (2, 1, 1, 0),
    "graph": (2, 1, 0, 0),
    "fc": (1, 1, 0, 0),
}
"""Operation -> its weights of inputs, its vectors (one is the bias, others are multiplied with each node), whether it
has a weight between layers, and whether messages are multiplied by weights."""


def nasbench_graph(
    *,
    graph: AttributedGraph | None = None,
    nodes: int = 2708,
    features: int = 1433,
    links: int = 5278,
    classes: int = 7,
    width: int = 256,
    dropout: float = 0.7,
) -> Space:
    """Return the published space of 26,206 architectures, for one graph.

    Args:
        graph: Graph of the data; without it one of the following sizes is made up, for costs and latency.
        nodes: Number of nodes.
        features: Features of a node.
        links: Number of edges.
        classes: Number of outputs.
        width: Features of each operation; published are 256 for Cora and CiteSeer.
        dropout: Probability of dropout on what enters an operation or a layer.
    """
    for name, number, least in (("width", width, 1), ("classes", classes, 2)):
        if not least <= number <= 2**14:
            raise FieldError(name, f"must be from {least} to {2**14:,}, got {number:,}")
    if not 0 <= dropout < 1:
        raise FieldError("dropout", f"must be from 0 to below 1, got {dropout}")
    graph = given_graph(graph, nodes, features, links)
    return replace(
        nasbench_graph_tables(),
        inputs=(Input((), "int64", values=graph.nodes),),
        network=partial(_network, graph, width, classes, dropout),
        cost=partial(_cost, graph, width, classes),
        alone=Alone(epochs=400),
    )


def nasbench_graph_tables() -> Space:
    """Return the published space for its tables alone: without a graph there are no networks and no costs."""
    inputs = [Decision(f"input{i}", tuple(range(i))) for i in range(2, NODES + 1)]
    operations = [Decision(f"op{i}", OPERATIONS) for i in range(1, NODES + 1)]
    return Space(
        name="nasbench_graph",
        decisions=(*inputs, *operations),
        fold=_fold,
        size=26_206,
        extremes=(_parse("x0123", "skip|skip|skip|fc"), _parse("x0000", "arma|arma|arma|arma")),
        formats={("link", "ops"): _parse},
        traits=path_traits,
        graphs=graphs,
    )
