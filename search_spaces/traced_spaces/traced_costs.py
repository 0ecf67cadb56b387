"""Exact costs of the networks of a traced network, for many architectures at once.

`macs` are those of all convolutions, linear layers and products of matrices, attention included: what
`torch.utils.flop_counter` counts, divided by two. `params` are the weights and biases that a network has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np
from torch import fx

from search_spaces.architecture import Choice
from search_spaces.traced_spaces.extents import Extent, Extents, extent_of, table_of
from search_spaces.traced_spaces.multiplications import Length, products_of
from search_spaces.traced_spaces.traced_decisions import RESOLUTION, Plan, Runs
from search_spaces.tracing import BATCH, Traced

_ROWS_AT_ONCE = 1 << 14  # few enough to stay in the cache
Terms = Mapping[tuple[Extent, ...], Fraction]
"""Factors that follow decisions -> sum of the constants that they are multiplied with."""
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class TracedCosts:
    """The `cost` of a space: columns of values [N] by decision -> columns of costs [N].

    Args:
        choices: Decisions and their choices, as the network was traced for.
        terms: Name of a cost -> the products that add up to it.
    """

    choices: Mapping[str, tuple[Choice, ...]]
    terms: Mapping[str, Terms]

    def __call__(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        indices = {name: _indices(columns[name], choices) for name, choices in self.choices.items()}
        rows = len(next(iter(columns.values())))
        totals = {name: np.zeros(rows, dtype=np.int64) for name in self.terms}
        for start in range(0, rows, _ROWS_AT_ONCE):
            part = {name: column[start : start + _ROWS_AT_ONCE] for name, column in indices.items()}
            for name, terms in self.terms.items():
                totals[name][start : start + _ROWS_AT_ONCE] = _summed(terms, part)
        return totals

    def only(self, names: Collection[str]) -> TracedCosts:
        """Return the same costs, to be called with these decisions alone; they follow no other."""
        return TracedCosts({name: own for name, own in self.choices.items() if name in names}, self.terms)

    def largest(self) -> dict[str, int]:
        """Return the costs of the network with the dearest choices."""
        columns = {name: np.array(choices[-1:]) for name, choices in self.choices.items()} or {"": np.zeros(1)}
        return {name: int(column[0]) for name, column in self(columns).items()}


def _indices(column: np.ndarray, choices: Sequence[Choice]) -> np.ndarray:
    """Return the index [N] among rising choices of every value [N]."""
    return np.searchsorted(np.array(choices), column)


def _summed(terms: Terms, indices: Mapping[str, np.ndarray]) -> np.ndarray | int:
    known: dict[Extent, np.ndarray | int] = {}
    total: np.ndarray | int = 0
    for factors, constant in terms.items():
        for factor in factors:
            if factor not in known:
                known[factor] = factor.at(indices)
        product = prod((known[factor] for factor in factors), start=constant.numerator)
        total = total + (product if constant.denominator == 1 else product // constant.denominator)
    return total


class Counting:
    """The products that the costs of a network are sums of.

    Args:
        traced: What is known of the network.
        plan: Its decisions.
        shapes: Side of the images in pixels -> shapes of all values at it, for a batch of `BATCH`; those of all
            choices of the resolution, none where there is one only.
    """

    def __init__(self, traced: Traced, plan: Plan, shapes: Mapping[int, Shapes]) -> None:
        self._traced, self._plan, self._shapes = traced, plan, shapes
        self._extents = Extents(traced, plan.groups)
        self._choices = {decision.name: decision.choices for decision in plan.decisions}
        self._runs = {
            node: plan.blocks[block.scope]
            for block in traced.blocks
            if block.scope in plan.blocks
            for node in block.nodes
        }
        self._nodes = {node.name: node for node in traced.graph.nodes}
        cropped = [kernel for kernel in traced.kernels if kernel.node in plan.kernels]
        self._crops = {kernel.weight: extent_of(plan.kernels[kernel.node]) for kernel in cropped}
        self._of_convolution = {kernel.node: self._crops[kernel.weight] for kernel in cropped}

    def costs(self, nodes: Collection[str] | None = None) -> TracedCosts:
        """Return the costs of the network, or of the part of it that has these nodes."""
        inside = self._nodes.keys() if nodes is None else nodes
        terms: dict[str, dict[tuple[Extent, ...], Fraction]] = {"params": {}, "macs": {}}
        for name, readers in self._weights(inside).items():
            _add(terms["params"], [*self._weight(name), self.presence(readers)])
        for name in inside:
            node = self._nodes[name]
            for product in products_of(node, self._rank):
                lengths = [factor for one in product for factor in self._length(node, one)]
                _add(terms["macs"], [*lengths, self.presence([name])])
        return TracedCosts(self._choices, terms)

    def follows(self, nodes: Iterable[str]) -> frozenset[str]:
        """Return the decisions that the sizes of nodes, or whether they run, follow."""
        found: set[str] = set()
        for name in nodes:
            found |= {
                decision for extent in (*self.extents_of(name), self.presence([name])) for decision in extent.decisions
            }
            if name in self._of_convolution:
                found |= set(self._of_convolution[name].decisions)
        return frozenset(found)

    def extents_of(self, node: str) -> tuple[Extent, ...]:
        """Return the lengths of the dimensions of the value of a node for one example, at the traced size of images;
        none where it is no tensor. The decision on the size of the images stands behind them where it matters."""
        if self._nodes[node].op == "get_attr":
            return tuple(self._weight(str(self._nodes[node].target)))
        if node not in self._traced.shapes:
            return ()
        shapes = {shapes[node] for shapes in self._shapes.values()}
        varies = (table_of(RESOLUTION, range(len(self._shapes))),) if len(shapes) > 1 else ()
        return (*self._extents.of_node(node), *varies)

    # ---- what is multiplied ---------------------------------------------------------------------------------------

    def _weights(self, inside: Collection[str]) -> dict[str, list[str]]:
        """Return the parameters that nodes read, each once, and the nodes that read it."""
        parameters = dict(self._traced.module.named_parameters(remove_duplicate=False))
        names: dict[int, str] = {}
        found: dict[str, list[str]] = {}
        for node in self._nodes.values():
            if node.op != "get_attr" or str(node.target) not in parameters:
                continue
            readers = [user.name for user in node.users if user.name in inside]
            if readers:
                name = names.setdefault(id(parameters[str(node.target)]), str(node.target))
                found.setdefault(name, []).extend(readers)
        return found

    def _weight(self, name: str) -> list[Extent]:
        """Return the lengths of the dimensions of a weight."""
        lengths = list(self._extents.of_tensor(name))
        return [*lengths[:2], self._crops[name], self._crops[name]] if name in self._crops else lengths

    def _length(self, reader: fx.Node, length: Length) -> list[Extent | Fraction]:
        """Return factors whose product is the length of one dimension, as an operation reads it."""
        node, dimension = length
        crop = self._of_convolution.get(reader.name)
        if crop is not None and node == reader.args[1] and dimension >= 2:
            return [crop]
        if node.op == "get_attr":
            return [self._extents.of_tensor(str(node.target))[dimension]]
        whole = self._extents.of_node(node.name)[dimension]
        sides = [_single(shapes[node.name][dimension]) for shapes in self._shapes.values()]
        if len(set(sides)) <= 1:
            return [whole]
        traced = _single(self._traced.shapes[node.name][dimension])
        return [whole, table_of(RESOLUTION, sides), Fraction(1, traced)]

    def presence(self, nodes: Iterable[str]) -> Extent:
        """Return 1 where one of these nodes runs, else 0."""
        runs: list[Runs | None] = [self._runs.get(node) for node in nodes]
        decisions = {one[0] for one in runs if one is not None}
        if None in runs or len(decisions) != 1:
            return Extent(1)
        decision = decisions.pop()
        when = frozenset[Choice]().union(*(one[1] for one in runs if one is not None))
        return table_of(decision, [int(choice in when) for choice in self._choices[decision]])

    def _rank(self, node: fx.Node) -> int:
        return len(
            self._extents.of_tensor(str(node.target)) if node.op == "get_attr" else self._traced.shapes[node.name]
        )


def _single(size: int) -> int:
    """Return the length of a dimension for one example."""
    return size // BATCH if size % BATCH == 0 else size


def _add(terms: dict[tuple[Extent, ...], Fraction], factors: Iterable[Extent | Fraction]) -> None:
    """Add a product to a sum of products; what follows no decision is a part of its constant."""
    constant, variable = Fraction(1), []
    for factor in factors:
        if isinstance(factor, Fraction):
            constant *= factor
        elif factor.tables:
            variable.append(factor)
        else:
            constant *= factor.fixed
    key = tuple(sorted(variable, key=repr))
    terms[key] = terms.get(key, Fraction(0)) + constant
