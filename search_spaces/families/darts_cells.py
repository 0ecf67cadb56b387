"""The cells of DARTS as decisions, and as genotypes.

Paper: Liu et al., DARTS, arXiv 1806.09055.
Differs: an architecture does not keep the order in which a node lists its inputs; a `Genotype` does.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from search_spaces.architecture import Choice, Decision, InvalidArchitecture
from search_spaces.families.genotype import Genotype, parse_genotype
from search_spaces.graph import Graph
from search_spaces.vectors import Scores, Vectors

PRIMITIVES = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "sep_conv_3x3",
    "sep_conv_5x5",
)
"""Cheapest first; `none` is never chosen."""
CELLS = ("normal", "reduce")
NODES = (2, 3, 4, 5)


def input_pairs(node: int) -> tuple[str, ...]:
    """Return the two states that a node can read, such as ``0-2``, cheapest first: reduction cells pay for 0 and 1."""
    pairs = sorted(combinations(range(node), 2), key=lambda pair: (sum(state < 2 for state in pair), pair))
    return tuple(f"{first}-{second}" for first, second in pairs)


STATES: dict[Choice, tuple[int, ...]] = {
    pair: tuple(int(state) for state in pair.split("-")) for node in NODES for pair in input_pairs(node)
}
"""Pair of states as a choice -> the two states."""
DECISIONS_OF_NODE = {
    (cell, node): tuple(f"{cell}.node{node}.{part}" for part in ("inputs", "op1", "op2"))
    for cell in CELLS
    for node in NODES
}
"""(cell, node) -> its decisions: what it reads, and the operations on the two states."""


def all_decisions() -> tuple[Decision, ...]:
    """Return the decisions of the space."""
    decisions = []
    for (_, node), (inputs, *operations) in DECISIONS_OF_NODE.items():
        decisions.append(Decision(inputs, input_pairs(node)))
        decisions.extend(Decision(operation, PRIMITIVES) for operation in operations)
    return tuple(decisions)


def from_genotype(genotype: Genotype) -> dict[str, Choice]:
    """Return the decisions of a genotype.

    Raises:
        InvalidArchitecture: It is not of this space: other operations or nodes, twice the same input, other outputs.
    """
    values: dict[str, Choice] = {}
    canonical = genotype.canonical()
    for cell in CELLS:
        pairs, concat = getattr(canonical, cell), getattr(canonical, f"{cell}_concat")
        if len(pairs) != 2 * len(NODES) or tuple(concat) != NODES:
            raise InvalidArchitecture(f"{cell}: the space has nodes {NODES}, all in the output, got {pairs}, {concat}")
        for i, node in enumerate(NODES):
            (first_operation, first), (second_operation, second) = pairs[2 * i : 2 * i + 2]
            if first == second:
                raise InvalidArchitecture(f"{cell}: node {node} reads state {first} twice")
            values[f"{cell}.node{node}.inputs"] = f"{first}-{second}"
            values[f"{cell}.node{node}.op1"] = first_operation
            values[f"{cell}.node{node}.op2"] = second_operation
    return values


def parse(text: str) -> dict[str, Choice]:
    """Return the decisions of a genotype as published code prints it."""
    return from_genotype(parse_genotype(text))


def to_genotype(architecture: Mapping[str, Choice]) -> Genotype:
    """Return the canonical genotype of an architecture."""
    cells = {}
    for cell in CELLS:
        pairs: list[tuple[str, int]] = []
        for node in NODES:
            states = str(architecture[f"{cell}.node{node}.inputs"]).split("-")
            operations = (str(architecture[f"{cell}.node{node}.op{i}"]) for i in (1, 2))
            pairs.extend((operation, int(state)) for operation, state in zip(operations, states))
        cells[cell] = pairs
    return Genotype(cells["normal"], NODES, cells["reduce"], NODES)


def graphs(architecture: Mapping[str, Choice]) -> list[Graph]:
    """Return both cells."""
    return to_genotype(architecture).graphs()


# ---- edges with weights of operations -------------------------------------------------------------------------------

WEIGHED = ("none", *PRIMITIVES)
"""What the edges of a search network mix; `none` is never chosen."""


def edge_vector(cell: str, state: int, node: int) -> str:
    """Return the name of the weights of the operations between a state and a node."""
    return f"{cell}.edge{state}_{node}"


def edge_vectors() -> Vectors:
    """Return the edges, each with weights of all operations; every node keeps its two strongest edges.

    As published, an edge is as strong as its best operation, `none` aside.
    """
    vectors = [Decision(edge_vector(*edge), WEIGHED) for edge in _edges()]
    return Vectors(tuple(vectors), _discretised, _score)


def _edges() -> Iterator[tuple[str, int, int]]:
    for cell in CELLS:
        for node in NODES:
            for state in range(node):
                yield cell, state, node


def _discretised(scores: Scores) -> dict[str, Choice]:
    values: dict[str, Choice] = {}
    for (cell, node), (inputs, *chosen) in DECISIONS_OF_NODE.items():
        operations = [scores[edge_vector(cell, state, node)][1:] for state in range(node)]
        strongest = sorted(range(node), key=lambda state: -float(operations[state].max()))[:2]
        first, second = sorted(strongest)
        values[inputs] = f"{first}-{second}"
        for name, state in zip(chosen, (first, second)):
            values[name] = PRIMITIVES[int(np.argmax(operations[state]))]
    return values


def _score(scores: Scores, architecture: Mapping[str, Choice]) -> float:
    total = 0.0
    for (cell, node), (inputs, *chosen) in DECISIONS_OF_NODE.items():
        for name, state in zip(chosen, STATES[architecture[inputs]]):
            total += float(scores[edge_vector(cell, state, node)][WEIGHED.index(str(architecture[name]))])
    return total
