"""Genotypes: two cells written as lists of (operation, input), as DARTS and its relatives print them."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.architecture import InvalidArchitecture
from search_spaces.families.cell_operations import OPERATIONS
from search_spaces.graph import Graph

_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
_MOST_STATES = 100
Pair = tuple[str, int]


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell.

    States 0 and 1 of a cell are its inputs; every further node is the sum of two operations on earlier states. Two
    pairs a node, in the order of publication, which checkpoints follow; `canonical` forgets it.

    Args:
        normal, reduce: (operation, state) pairs, two for each node.
        normal_concat, reduce_concat: States whose concatenation is the output.

    Raises:
        InvalidArchitecture: An operation is unknown, or a state is not there yet.
    """

    normal: Sequence[Pair]
    normal_concat: Sequence[int]
    reduce: Sequence[Pair]
    reduce_concat: Sequence[int]

    def __post_init__(self) -> None:
        for cell in ("normal", "reduce"):
            pairs = tuple((str(operation), state) for operation, state in getattr(self, cell))
            concat = tuple(getattr(self, f"{cell}_concat"))
            _check_cell(cell, pairs, concat)
            object.__setattr__(self, cell, pairs)  # so that lists, as json gives them, are equal to tuples
            object.__setattr__(self, f"{cell}_concat", concat)

    def __str__(self) -> str:
        """Return the genotype as published code prints it."""
        normal, reduce = (_printed_range(concat) for concat in (self.normal_concat, self.reduce_concat))
        return (
            f"Genotype(normal={list(self.normal)}, normal_concat={normal}, "
            f"reduce={list(self.reduce)}, reduce_concat={reduce})"
        )

    def graphs(self) -> list[Graph]:
        """Return both cells; what is concatenated leads to the output without an operation."""
        found = []
        for name in ("normal", "reduce"):
            pairs, concat = getattr(self, name), getattr(self, f"{name}_concat")
            nodes = ("cell before last", "last cell", *(f"node {i + 1}" for i in range(len(pairs) // 2)), "output")
            edges = [(state, 2 + i // 2, operation) for i, (operation, state) in enumerate(pairs)]
            edges += [(state, len(nodes) - 1, "") for state in concat]
            found.append(Graph(name=f"{name} cell", nodes=nodes, edges=tuple(edges)))
        return found

    def canonical(self) -> "Genotype":
        """Return the same cells with the two pairs of every node, and the states of the output, sorted."""
        return Genotype(
            _sorted_pairs(self.normal),
            sorted(self.normal_concat),
            _sorted_pairs(self.reduce),
            sorted(self.reduce_concat),
        )


def _check_cell(name: str, pairs: Sequence[Pair], concat: Sequence[int]) -> None:
    if not pairs or len(pairs) % 2:
        raise InvalidArchitecture(f"{name}: a cell has two pairs for each node, got {len(pairs)} pairs")
    for i, (operation, state) in enumerate(pairs):
        node = 2 + i // 2
        if operation not in OPERATIONS:
            raise InvalidArchitecture(f"{name}: operation {operation!r} is not one of {', '.join(OPERATIONS)}")
        if not isinstance(state, int) or not 0 <= state < node:
            raise InvalidArchitecture(f"{name}: node {node} reads state {state!r}, allowed are 0 to {node - 1}")
    last = 1 + len(pairs) // 2
    if not concat or len(set(concat)) != len(concat) or not all(0 <= state <= last for state in concat):
        raise InvalidArchitecture(f"{name}_concat {list(concat)} must be distinct states from 0 to {last}")


def _sorted_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    nodes = [sorted(pairs[i : i + 2], key=lambda pair: (pair[1], pair[0])) for i in range(0, len(pairs), 2)]
    return [pair for node in nodes for pair in node]


def _printed_range(concat: Sequence[int]) -> str:
    whole = list(concat) == list(range(concat[0], concat[0] + len(concat)))
    return f"range({concat[0]}, {concat[-1] + 1})" if whole else str(list(concat))


def parse_genotype(text: str) -> Genotype:
    """Return the genotype that published code prints; nothing is evaluated.

    Raises:
        InvalidArchitecture: The text is no genotype.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise InvalidArchitecture(f"genotype {text!r} cannot be read") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "Genotype":
        raise InvalidArchitecture(f"genotype {text!r} must be Genotype({', '.join(f'{f}=…' for f in _FIELDS)})")
    given = dict(zip(_FIELDS, call.args)) | {keyword.arg or "**": keyword.value for keyword in call.keywords}
    if set(given) != set(_FIELDS) or len(call.args) + len(call.keywords) != len(_FIELDS):
        raise InvalidArchitecture(f"genotype {text!r} must give {', '.join(_FIELDS)} once each")
    fields = {name: _literal(name, node) for name, node in given.items()}
    for cell in ("normal", "reduce"):
        if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in fields[cell]):
            raise InvalidArchitecture(f"{cell} must be a list of (operation, state) pairs, got {fields[cell]!r}")
    return Genotype(**fields)


def _literal(name: str, node: ast.expr) -> list:
    """Return a list written out, or as ``range(a, b)``."""
    is_range = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
    try:
        if is_range and isinstance(node, ast.Call) and not node.keywords:
            return list(range(*(ast.literal_eval(bound) for bound in node.args))[:_MOST_STATES])
        value = ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise InvalidArchitecture(f"{name} = {ast.unparse(node)} must be a list or a range") from error
    if not isinstance(value, list | tuple):
        raise InvalidArchitecture(f"{name} = {value!r} must be a list or a range")
    return list(value)
