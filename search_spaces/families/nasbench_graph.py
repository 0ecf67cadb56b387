"""NAS-Bench-Graph: four operations on a graph, each fed by the raw input or an earlier one.

Paper: Qin et al., NAS-Bench-Graph, arXiv 2206.09166. Operations that feed no other are concatenated to the output.
Differs: there is no network and no exact cost here: the space is for its published tables. Members are not listed one
by one. They are what the four operations compute: skips hand on what they are given, parallel branches have no order,
and the raw input itself is no output. That gives the 26,206 of the published tables, and their way of writing each.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from search_spaces.architecture import Choice, Decision, InvalidArchitecture
from search_spaces.graph import Graph
from search_spaces.space import Columns, Space

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


def nasbench_graph() -> Space:
    """Return the published space of 26,206 architectures."""
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
