"""The cells of NAS-Bench-201: their edges and operations, and the strings and keys that tables name them by.

Paper: Dong & Yang, NAS-Bench-201, arXiv 2001.00326; the topology space of NATS-Bench.
Differs: nothing known.
"""

import re
from collections.abc import Mapping

import numpy as np

from search_spaces.architecture import Choice, InvalidArchitecture, LeftOut
from search_spaces.families.graph_paths import Paths
from search_spaces.graph import Graph
from search_spaces.space import Columns

TABLE_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
OPERATIONS = ("none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")
"""Cheapest first; `TABLE_OPERATIONS` is the order of the digits in published tables."""
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, target) in the order of architecture strings."""
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
"""Kernel sizes of the convolutions."""


def edge_name(source: int, target: int) -> str:
    """Return the decision that holds the operation of an edge."""
    return f"edge{source}_{target}"


def graphs(architecture: Mapping[str, Choice]) -> list[Graph]:
    """Return the cell, with the edges that give nothing as unused ones."""
    operations = [(source, target, str(architecture[edge_name(source, target)])) for source, target in EDGES]
    used = tuple(edge for edge in operations if edge[2] != "none")
    unused = tuple(edge for edge in operations if edge[2] == "none")
    return [Graph(name="cell", nodes=("input", "node 1", "node 2", "output"), edges=used, unused=unused)]


# ---- strings and keys ---------------------------------------------------------------------------------------------


def parse(text: str) -> dict[str, Choice]:
    """Return the decisions of an architecture string, ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.

    Raises:
        InvalidArchitecture: The string is no such cell.
    """
    nodes = text.strip().split("+")
    if len(nodes) != 3:
        raise InvalidArchitecture(f"arch_str {text!r} must have 3 nodes separated by '+', got {len(nodes)}")
    values: dict[str, Choice] = {}
    for target, node in enumerate(nodes, start=1):
        terms = re.fullmatch(r"\|(?:[^|]*\|)+", node) and node[1:-1].split("|")
        if not terms or len(terms) != target:
            raise InvalidArchitecture(f"arch_str {text!r}: node {target} must be {target} terms '|op~source|'")
        for source, term in enumerate(terms):
            operation, _, named = term.partition("~")
            if operation not in OPERATIONS:
                raise InvalidArchitecture(f"arch_str {text!r}: operation {operation!r} is not one of {OPERATIONS}")
            if named != str(source):
                raise InvalidArchitecture(f"arch_str {text!r}: node {target}, term {term!r} must come from {source}")
            values[edge_name(source, target)] = operation
    return values


def to_string(architecture: Mapping[str, Choice]) -> str:
    """Return the architecture string of published tables."""
    terms = {(s, t): f"{architecture[edge_name(s, t)]}~{s}" for s, t in EDGES}
    return "+".join("|" + "".join(f"{terms[s, t]}|" for s in range(t)) for t in (1, 2, 3))


def parse_cell(digits: str) -> dict[str, Choice]:
    """Return the decisions of six digits in the order of the architecture string, with or without leading ``x``.

    Raises:
        InvalidArchitecture: These are not six digits from 0 to 4.
    """
    if not re.fullmatch(r"x?[0-4]{6}", digits.strip()):
        raise InvalidArchitecture(f"cell {digits!r} must be six digits from 0 to 4, with or without a leading x")
    return {edge_name(s, t): TABLE_OPERATIONS[int(d)] for (s, t), d in zip(EDGES, digits.strip()[-6:])}


def to_cell(architecture: Mapping[str, Choice]) -> str:
    """Return six operation digits with a leading ``x``, as in published tables."""
    return "x" + "".join(str(TABLE_OPERATIONS.index(str(architecture[edge_name(s, t)]))) for s, t in EDGES)


def unique_key(architecture: Mapping[str, Choice]) -> str:
    """Return the published isomorphism key: skips collapse, zeros propagate but stay as terms; 6,466 distinct ones."""
    return _expression(architecture, propagate_zeros=True, delete_zeros=False)


def skip_key(architecture: Mapping[str, Choice]) -> str:
    """Return the published key that collapses skips only; 12,751 distinct ones."""
    return _expression(architecture, propagate_zeros=False, delete_zeros=False)


def canonical_key(architecture: Mapping[str, Choice]) -> str:
    """Return the key to recognise equal functions by: skips collapse, zero terms vanish; 5,390 distinct ones.

    Equal keys are equal outputs where equal operations on equal inputs have equal weights and what follows zeros is
    zero, which holds for convolutions with batch norm as long as the norm's bias is zero.
    """
    return _expression(architecture, propagate_zeros=True, delete_zeros=True)


def path_traits(columns: Columns) -> np.ndarray:
    """Return what the paths of cells come to [N, 11]: the operations on them, how many paths, how deep in convolutions,
    how many poolings stand in the way, and whether the input itself is handed on."""
    operations = np.stack([columns[edge_name(source, target)] for source, target in EDGES], axis=1)
    paths = Paths(EDGES, operations != "none")
    live = paths.live()
    convolutions = np.isin(operations, list(KERNELS)).astype(float)
    changing = (operations != "skip_connect").astype(float)
    counted = [((operations == name) & live).sum(axis=1) for name in OPERATIONS[1:]]
    depths = [paths.longest(convolutions), paths.shortest(convolutions), paths.longest(np.ones(live.shape))]
    pooled = paths.shortest((operations == "avg_pool_3x3").astype(float))
    identity = (paths.count() > 0) & (paths.shortest(changing) == 0)
    wide = (convolutions * live).sum(axis=1)
    return np.stack([*counted, *depths, pooled, identity, paths.count(), wide], axis=1).astype(float)


def is_connected(architecture: Mapping[str, Choice]) -> bool:
    """Return whether there is a path from the input of a cell to its output; 341 of 15,625 cells have none."""
    reached = {0}
    for source, target in EDGES:
        if source in reached and architecture[edge_name(source, target)] != "none":
            reached.add(target)
    return 3 in reached


def only_connected(values: dict[str, Choice]) -> dict[str, Choice]:
    """Return the decisions of a cell, unchanged: the fold of a space of connected cells.

    Raises:
        InvalidArchitecture: An edge has no value.
        LeftOut: The cell has no path from its input to its output.
    """
    missing = [edge_name(*edge) for edge in EDGES if edge_name(*edge) not in values]
    if missing:
        raise InvalidArchitecture(f"decision {missing[0]!r} has no value; choose one of {OPERATIONS}")
    if not is_connected(values):
        raise LeftOut(f"{to_string(values)} has no path from input to output, and the space has connected cells only")
    return values


def _expression(architecture: Mapping[str, Choice], *, propagate_zeros: bool, delete_zeros: bool) -> str:
    """Return node 3 written as an expression of node 0, with the terms of every sum sorted; ``#`` is zero."""
    nodes = ["0"]
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            operation = architecture[edge_name(source, target)]
            if propagate_zeros and (operation == "none" or nodes[source] == "#"):
                terms.append("#")
            elif operation == "skip_connect":
                terms.append(nodes[source])
            else:
                terms.append(f"({nodes[source]})@{operation}")
        if delete_zeros:
            terms = [term for term in terms if term != "#"] or ["#"]
        nodes.append("+".join(sorted(terms)))
    return nodes[3]
