"""The DARTS space: two cells of four nodes, each with two of the earlier states as input.

Paper: Liu et al., DARTS, arXiv 1806.09055.
Differs: an architecture does not keep the order in which a node lists its inputs; a `Genotype` does. A supernet has
no operation `none`, which is never chosen, and runs the two inputs that a node reads, not all of them; its cells are
otherwise those of the published search network where `shared_affine` is false, and those of single networks where it is
true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture, Setting, Weight
from search_spaces.blocks import Concat, PixelMean, Sum
from search_spaces.elastic import Elastic, extracted, with_shared_norms
from search_spaces.errors import FieldError
from search_spaces.families.cell_operations import OPERATIONS
from search_spaces.families.genotype import Genotype, parse_genotype
from search_spaces.families.genotype_network import (
    CellPlace,
    GenotypeCell,
    GenotypeNetwork,
    Skeleton,
    edge_name,
    operation_on,
    preprocessing,
    run_dropped,
    stems,
)
from search_spaces.inputs import images
from search_spaces.places import Block, Place, fixed
from search_spaces.sizes import strided
from search_spaces.space import Columns, Space

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
    """The two states that a node can read, such as ``0-2``, cheapest first: a reduction cell pays for states 0, 1."""
    pairs = sorted(combinations(range(node), 2), key=lambda pair: (sum(state < 2 for state in pair), pair))
    return tuple(f"{first}-{second}" for first, second in pairs)


_STATES: dict[Choice, tuple[int, ...]] = {
    pair: tuple(int(state) for state in pair.split("-")) for node in NODES for pair in input_pairs(node)
}
_DECISIONS_OF_NODE = {
    (cell, node): tuple(f"{cell}.node{node}.{part}" for part in ("inputs", "op1", "op2"))
    for cell in CELLS
    for node in NODES
}


def _decisions() -> tuple[Decision, ...]:
    decisions = []
    for (_, node), (inputs, *operations) in _DECISIONS_OF_NODE.items():
        decisions.append(Decision(inputs, input_pairs(node)))
        decisions.extend(Decision(operation, PRIMITIVES) for operation in operations)
    return tuple(decisions)


def from_genotype(genotype: Genotype) -> dict[str, Choice]:
    """The decisions of a genotype.

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
    """The decisions of a genotype as published code prints it."""
    return from_genotype(parse_genotype(text))


def to_genotype(architecture: Mapping[str, Choice]) -> Genotype:
    """The canonical genotype of an architecture."""
    cells = {}
    for cell in CELLS:
        pairs: list[tuple[str, int]] = []
        for node in NODES:
            states = str(architecture[f"{cell}.node{node}.inputs"]).split("-")
            operations = (str(architecture[f"{cell}.node{node}.op{i}"]) for i in (1, 2))
            pairs.extend((operation, int(state)) for operation, state in zip(operations, states))
        cells[cell] = pairs
    return Genotype(cells["normal"], NODES, cells["reduce"], NODES)


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
        self.activate(Architecture({decision.name: decision.choices[-1] for decision in _decisions()}))

    def activate(self, setting: Setting) -> None:
        for node in NODES:
            inputs, *chosen = (setting.get(name) for name in _DECISIONS_OF_NODE[self.name, node])
            if isinstance(inputs, Mapping):
                raise TypeError(
                    f"{self.name}.node{node}.inputs says what a node reads: its choices {tuple(inputs)} cannot be mixed"
                )
            if inputs is None or None in chosen:
                continue
            self._running[node] = []
            for state, operations in zip(_STATES[inputs], chosen):
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
            inputs, *operations = _DECISIONS_OF_NODE[self.name, node]
            for pair in input_pairs(node):
                for state in _STATES[pair]:
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
    """What a node adds up: a state and the operations on it, with weights where they are a mixture."""

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
    """An operation of a supernet; the published one has a norm after each pooling."""
    operation = operation_on(place, state, name)
    if shared_affine or "pool" not in name:
        return operation
    return nn.Sequential(operation, nn.BatchNorm2d(place.width, affine=False))


@dataclass(frozen=True)
class _Family:
    """The networks and costs of all architectures on one skeleton."""

    skeleton: Skeleton
    drop_path: float
    shared_affine: bool

    def network(self, architecture: Architecture) -> nn.Module:
        """The network of one architecture with fresh weights."""
        return GenotypeNetwork(self.skeleton, to_genotype(architecture), drop_path=self.drop_path)

    def supernet(self) -> nn.Module:
        """The network whose cells follow an architecture, each operation of each edge with weights of its own."""
        any_genotype = to_genotype({decision.name: decision.choices[0] for decision in _decisions()})
        network = GenotypeNetwork(
            self.skeleton,
            any_genotype,
            drop_path=self.drop_path,
            cell=lambda place, *_: ElasticCell(place, shared_affine=self.shared_affine),
        )
        return with_shared_norms(network)

    def places(self) -> list[Place]:
        """Stems; of all cells that are alike their preprocessing, operations, sums and output; classifier."""
        places = [fixed(block) for block in self._stem_blocks()]
        cells = self.skeleton.places(len(NODES), len(NODES))
        for cell, repeats in Counter(cells).items():
            places += _cell_places(cell, repeats)
        width, size, classes = len(NODES) * cells[-1].width, cells[-1].out_size, self.skeleton.classes
        head = Block(
            f"head {width}-{classes}",
            (width, size, size),
            lambda: nn.Sequential(PixelMean(), nn.Linear(width, classes)),
        )
        return [*places, fixed(head)]

    def _stem_blocks(self) -> list[Block]:
        skeleton, size = self.skeleton, self.skeleton.image_size
        first = Block(
            f"stem {skeleton.stem} {skeleton.width}", (skeleton.channels, size, size), lambda: stems(skeleton)[0]
        )
        if skeleton.stem == "cifar":
            return [first]
        reduced = strided(strided(size, 2), 2)
        second = Block(f"stem 2 {skeleton.width}", (skeleton.width, reduced, reduced), lambda: stems(skeleton)[1])
        return [first, second]

    def cost(self, columns: Columns) -> dict[str, np.ndarray]:
        """Exact costs: parameters with batch-norm weights and biases; MACs of convolutions and the classifier."""
        places = self.skeleton.places(len(NODES), len(NODES))
        fixed = self.skeleton.fixed_cost(places, len(NODES) * places[-1].width)
        total = np.tile(np.array(fixed, dtype=np.int64), (len(columns["normal.node2.op1"]), 1))
        for cell in CELLS:
            for node in NODES:
                inputs = columns[f"{cell}.node{node}.inputs"]
                for i in (1, 2):
                    states = np.array([int(pair.split("-")[i - 1]) for pair in input_pairs(node)])
                    outside = np.isin(inputs, np.array(input_pairs(node))[states < 2])
                    for operation in PRIMITIVES:
                        chosen = columns[f"{cell}.node{node}.op{i}"] == operation
                        total += np.where(outside[:, None], *self._totals[cell, operation]) * chosen[:, None]
        return {"params": total[:, 0], "macs": total[:, 1]}

    @cached_property
    def _totals(self) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
        """(cell, operation) -> its parameters and MACs [2] over the whole network, on states 0 and 1 and on others."""
        totals = {}
        for cell in CELLS:
            places = [p for p in self.skeleton.places(len(NODES), len(NODES)) if p.reduction == (cell == "reduce")]
            for operation in PRIMITIVES:
                cost = OPERATIONS[operation].cost
                outside = [cost(p.width, p.size, 2 if p.reduction else 1) for p in places]
                inside = [cost(p.width, p.out_size, 1) for p in places]
                totals[cell, operation] = (_summed(outside), _summed(inside))
        return totals


def _cell_places(cell: CellPlace, repeats: int) -> list[Place]:
    """The places of cells that stand alike."""
    reduce = "reduce" if cell.after_reduction else "conv"
    shapes = [(width, size, size) for width, size in zip(cell.widths, cell.sizes)]
    names = (f"preprocess {reduce} {cell.width}", f"preprocess conv {cell.width}")
    inputs = [Block(name, shape, partial(_preprocess, cell, i)) for i, (name, shape) in enumerate(zip(names, shapes))]
    out = (cell.width, cell.out_size, cell.out_size)
    places = [fixed(block, repeats) for block in inputs]
    for node in NODES:
        reads, *operations = _DECISIONS_OF_NODE["reduce" if cell.reduction else "normal", node]
        places += [
            Place((reads, name), partial(_operation_block, cell, i), repeats) for i, name in enumerate(operations)
        ]
    sums = Block("sum of 2", out, lambda: Sum(2))
    concat = Block(f"concat of {len(NODES)}", out, lambda: Concat(len(NODES)))
    return [*places, fixed(sums, len(NODES) * repeats), fixed(concat, repeats)]


def _preprocess(cell: CellPlace, which: int) -> nn.Module:
    return preprocessing(cell)[which]


def _operation_block(cell: CellPlace, which: int, inputs: str, operation: str) -> Block | None:
    """The operation on the first or second state that a node reads; None for a plain skip."""
    state = _STATES[inputs][which]
    outside = cell.reduction and state < 2
    if operation == "skip_connect" and not outside:
        return None
    size = cell.size if outside else cell.out_size
    name = f"{operation}{' s2' if outside else ''}"
    return Block(name, (cell.width, size, size), lambda: operation_on(cell, state, operation))


def _summed(costs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(costs, dtype=np.int64).reshape(-1, 2).sum(axis=0)


def darts(
    *,
    width: int = 36,
    cells: int = 20,
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
    stem: str = "cifar",
    drop_path: float = 0.0,
    shared_affine: bool = True,
) -> Space:
    """The published space of 1.0768e18 pairs of cells.

    Args:
        width: Channels of the first cells; published are 36, 48 for ImageNet, and 16 for the search.
        cells: Cells in the network; published are 20, 14 for ImageNet, and 8 for the search.
        image_size: Pixels of the square images; 224 for ImageNet.
        channels: Channels of an image.
        classes: Number of outputs.
        stem: `cifar`, or `imagenet` to begin at an eighth of the image size.
        drop_path: Probability that an operation is left out for an image in training; published is up to 0.2.
        shared_affine: Whether the norms in the cells of a supernet have weights, as those of single networks do.
            Published supernets have none, and such a norm after each pooling.
    """
    skeleton = Skeleton(width=width, cells=cells, image_size=image_size, channels=channels, classes=classes, stem=stem)
    if not 0 <= drop_path < 1:
        raise FieldError("drop_path", f"must be from 0 to below 1, got {drop_path}")
    family = _Family(skeleton, drop_path, shared_affine)
    return Space(
        name="darts",
        decisions=_decisions(),
        inputs=images(channels, image_size),
        classes=classes,
        build=family.supernet,
        cost=family.cost,
        network=family.network,
        places=family.places,
        formats={("genotype",): parse},
    )
