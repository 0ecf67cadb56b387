"""The supernet of DARTS: cells with every operation on every edge.

Paper: Liu et al., DARTS, arXiv 1806.09055, section 2.2; entangled operations: Sukthanker et al., AutoML-Conf 2024 (PMLR
v256), section 3.
Differs: a mixture of the choices of decisions mixes operations only; one of edges mixes all states, as published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Relaxation, Setting, Weight
from search_spaces.elastic import CroppedConv2d, Elastic, Size, elastic_layers, extracted, with_shared_norms
from search_spaces.families.darts_cells import (
    DECISIONS_OF_NODE,
    NODES,
    PRIMITIVES,
    STATES,
    all_decisions,
    edge_vector,
    input_pairs,
    to_genotype,
)
from search_spaces.families.genotype_skeleton import CellPlace, Skeleton
from search_spaces.networks.cell_modules import Zero
from search_spaces.networks.genotype_network import (
    GenotypeCell,
    GenotypeNetwork,
    edge_name,
    operation_on,
    preprocessing,
    run_dropped,
)

FAMILIES = {
    "sep_conv_5x5": ("sep_conv_3x3", "sep_conv_5x5"),
    "dil_conv_5x5": ("dil_conv_3x3", "dil_conv_5x5"),
}
"""Operation -> what can be entangled in it: smaller kernels are the centres of its own."""


def supernet(skeleton: Skeleton, *, drop_path: float, shared_affine: bool, entangled: bool = False) -> nn.Module:
    """Return the network whose cells follow an architecture; each operation of each edge has its own weights."""
    any_genotype = to_genotype({decision.name: decision.choices[0] for decision in all_decisions()})
    network = GenotypeNetwork(
        skeleton,
        any_genotype,
        drop_path=drop_path,
        cell=lambda place, *_: ElasticCell(place, shared_affine=shared_affine, entangled=entangled),
    )
    return with_shared_norms(network)


class ElasticCell(Elastic):
    """The cell of all architectures: every operation on every edge, of which a node runs two.

    A node follows three decisions: `inputs` says which states it reads, `op1` and `op2` which operations it applies to
    the first and to the second. The operations of an edge are the same whichever of the two they are. Mixtures of
    operations run, mixtures of inputs do not. A mixture of edges has weights of the operations of each edge, and nodes
    add up what all states give.
    """

    def __init__(self, place: CellPlace, *, shared_affine: bool, entangled: bool = False) -> None:
        super().__init__()
        self.name = "reduce" if place.reduction else "normal"
        self.zero = Zero(2 if place.reduction else 1)
        self.preprocess0, self.preprocess1 = preprocessing(place)
        families = FAMILIES if entangled else {}
        self._modules_of = {name: name for name in PRIMITIVES}
        self._modules_of.update({member: last for last, members in families.items() for member in members})
        self._families = set(families)
        self.edges = nn.ModuleDict(
            {
                edge_name(state, node): nn.ModuleDict(
                    {
                        name: _shared_operation(place, state, name, shared_affine)
                        for name in PRIMITIVES
                        if self._modules_of[name] == name
                    }
                )
                for node in NODES
                for state in range(node)
            }
        )
        for (state, node), last in product(_state_pairs(), families):
            _entangle(self._edge(state, node)[last], edge_vector(self.name, state, node), families[last])
        with_shared_norms(self, affine=shared_affine)
        self._running: dict[int, list[_Term]] = {}
        self.activate(Architecture({decision.name: decision.choices[-1] for decision in all_decisions()}))

    def activate(self, setting: Setting) -> None:
        if edge_vector(self.name, 0, NODES[0]) in setting:
            self._mix_edges(setting)
            return
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
                if operations is not None:
                    self._running[node].append(self._term(state, node, operations))

    def _mix_edges(self, setting: Setting) -> None:
        """Let every node add up what the operations with weights give of all states."""
        for node in NODES:
            terms = []
            for state in range(node):
                weights = setting.get(edge_vector(self.name, state, node))
                if weights is not None:
                    terms.append(self._term(state, node, weights))
            self._running[node] = [term for term in terms if term.operations]

    def _term(self, state: int, node: int, operations: Choice | Mapping[Choice, Weight]) -> _Term:
        """Return the operations on a state that have weights, or the one that is chosen; `none` is no operation."""
        edge = self._edge(state, node)
        weights: Mapping = operations if isinstance(operations, Mapping) else {operations: None}
        families: dict[str, dict[Choice, Weight]] = {}
        terms: list[tuple[Weight | None, nn.Module]] = []
        for name, weight in weights.items():
            if name == "none":
                continue
            last = self._modules_of[name]
            if last not in self._families:
                terms.append((weight, edge[last]))
                continue
            if last not in families:
                terms.append((None, edge[last]))
            families.setdefault(last, {})[name] = weight
        for last, members in families.items():
            name = edge_vector(self.name, state, node)
            chosen = members if isinstance(operations, Mapping) else operations
            for layer in elastic_layers(edge[last]):
                layer.activate(Relaxation({name: chosen}))
        return _Term(state, terms)

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
                    edge = self._edge(state, node)
                    yield from ((decision, name, edge[self._modules_of[name]]) for name in PRIMITIVES)

    def forward(self, before_last: Tensor, last: Tensor, drop_path: float) -> Tensor:
        drop_path = drop_path if self.training else 0.0
        states = [self.preprocess0(before_last), self.preprocess1(last)]
        for node in NODES:
            total: Tensor | None = None
            for term in self._running[node]:
                out = term.output(states[term.state], drop_path)
                total = out if total is None else total + out
            states.append(self.zero(states[0]) if total is None else total)
        return torch.cat(states[2:], dim=1)

    def extract(self) -> nn.Module:
        nodes = []
        for node in NODES:
            terms = self._running[node]
            if len(terms) != 2 or any(weight is not None for term in terms for weight, _ in term.operations):
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


def _state_pairs() -> list[tuple[int, int]]:
    return [(state, node) for node in NODES for state in range(node)]


def _entangle(operation: nn.Module, edge: str, members: Sequence[str]) -> None:
    """Let the depthwise kernels of an operation follow the weights of those entangled in it."""
    for name, child in list(operation.named_children()):
        if isinstance(child, nn.Conv2d) and child.groups > 1:
            size = Size(edge, {member: int(member[-1]) for member in members})
            setattr(operation, name, CroppedConv2d(child, kernel=size))


def _shared_operation(place: CellPlace, state: int, name: str, shared_affine: bool) -> nn.Module:
    """Return an operation of a supernet; the published one has a norm after each pooling."""
    operation = operation_on(place, state, name)
    if shared_affine or "pool" not in name:
        return operation
    return nn.Sequential(operation, nn.BatchNorm2d(place.width, affine=False))
