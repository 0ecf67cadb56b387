"""The supernet of DARTS: cells with every operation on every edge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Setting, Weight
from search_spaces.elastic import Elastic, extracted, with_shared_norms
from search_spaces.families.darts_cells import (
    DECISIONS_OF_NODE,
    NODES,
    PRIMITIVES,
    STATES,
    all_decisions,
    input_pairs,
    to_genotype,
)
from search_spaces.families.genotype_skeleton import CellPlace, Skeleton
from search_spaces.networks.genotype_network import (
    GenotypeCell,
    GenotypeNetwork,
    edge_name,
    operation_on,
    preprocessing,
    run_dropped,
)


def supernet(skeleton: Skeleton, *, drop_path: float, shared_affine: bool) -> nn.Module:
    """Return the network whose cells follow an architecture; each operation of each edge has its own weights."""
    any_genotype = to_genotype({decision.name: decision.choices[0] for decision in all_decisions()})
    network = GenotypeNetwork(
        skeleton,
        any_genotype,
        drop_path=drop_path,
        cell=lambda place, *_: ElasticCell(place, shared_affine=shared_affine),
    )
    return with_shared_norms(network)


class ElasticCell(Elastic):
    """The cell of all architectures: every operation on every edge, of which a node runs two.

    A node follows three decisions: `inputs` says which states it reads, `op1` and `op2` which operations it applies to
    the first and to the second. The operations of an edge are the same whichever of the two they are. Mixtures of
    operations run, mixtures of inputs do not.
    """

    def __init__(self, place: CellPlace, *, shared_affine: bool) -> None:
        super().__init__()
        self.name = "reduce" if place.reduction else "normal"
        self.preprocess0, self.preprocess1 = preprocessing(place)
        self.edges = nn.ModuleDict(
            {
                edge_name(state, node): nn.ModuleDict(
                    {name: _shared_operation(place, state, name, shared_affine) for name in PRIMITIVES}
                )
                for node in NODES
                for state in range(node)
            }
        )
        with_shared_norms(self, affine=shared_affine)
        self._running: dict[int, list[_Term]] = {}
        self.activate(Architecture({decision.name: decision.choices[-1] for decision in all_decisions()}))

    def activate(self, setting: Setting) -> None:
        for node in NODES:
            inputs, *chosen = (setting.get(name) for name in DECISIONS_OF_NODE[self.name, node])
            if isinstance(inputs, Mapping):
                raise TypeError(
                    f"{self.name}.node{node}.inputs says what a node reads: its choices {tuple(inputs)} cannot be mixed"
                )
            if inputs is None or None in chosen:
                continue
            self._running[node] = []
            for state, operations in zip(STATES[inputs], chosen):
                edge = self._edge(state, node)
                weights: Mapping = operations if isinstance(operations, Mapping) else {operations: None}
                terms = [(weight, edge[name]) for name, weight in weights.items()]
                self._running[node].append(_Term(state, terms))

    def _edge(self, state: int, node: int) -> nn.ModuleDict:
        edge = self.edges[edge_name(state, node)]
        assert isinstance(edge, nn.ModuleDict)
        return edge

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        for node in NODES:
            inputs, *operations = DECISIONS_OF_NODE[self.name, node]
            for pair in input_pairs(node):
                for state in STATES[pair]:
                    yield inputs, pair, self._edge(state, node)
            for states, decision in zip((range(node - 1), range(1, node)), operations):
                for state in states:
                    yield from ((decision, name, self._edge(state, node)[name]) for name in PRIMITIVES)

    def forward(self, before_last: Tensor, last: Tensor, drop_path: float) -> Tensor:
        drop_path = drop_path if self.training else 0.0
        states = [self.preprocess0(before_last), self.preprocess1(last)]
        for node in NODES:
            first, second = (term.output(states[term.state], drop_path) for term in self._running[node])
            states.append(first + second)
        return torch.cat(states[2:], dim=1)

    def extract(self) -> nn.Module:
        nodes = []
        for node in NODES:
            if any(weight is not None for term in self._running[node] for weight, _ in term.operations):
                raise ValueError(
                    f"{self.name}.node{node} runs a mixture of choices: activate an architecture before extracting it"
                )
            nodes.append([(term.state, extracted(term.operations[0][1])) for term in self._running[node]])
        preprocess = (extracted(self.preprocess0), extracted(self.preprocess1))
        return GenotypeCell(preprocess, nodes, NODES).train(self.training)


class _Term(NamedTuple):
    """A term of the sum of a node: a state and the operations on it, with weights where they are a mixture."""

    state: int
    operations: list[tuple[Weight | None, nn.Module]]

    def output(self, x: Tensor, drop_path: float) -> Tensor:
        total: Tensor | None = None
        for weight, operation in self.operations:
            out = run_dropped(operation, x, drop_path)
            out = out if weight is None else out * weight
            total = out if total is None else total + out
        assert total is not None
        return total


def _shared_operation(place: CellPlace, state: int, name: str, shared_affine: bool) -> nn.Module:
    """Return an operation of a supernet; the published one has a norm after each pooling."""
    operation = operation_on(place, state, name)
    if shared_affine or "pool" not in name:
        return operation
    return nn.Sequential(operation, nn.BatchNorm2d(place.width, affine=False))
