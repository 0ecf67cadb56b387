"""The DARTS space: two cells of four nodes, each with two of the earlier states as input.

Paper: Liu et al., DARTS, arXiv 1806.09055.
Differs: nothing known. An architecture does not keep the order in which a node lists its inputs; a `Genotype` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from torch import nn

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.cell_operations import OPERATIONS
from search_spaces.genotype import Genotype, parse_genotype
from search_spaces.genotype_network import GenotypeNetwork, Skeleton
from search_spaces.space import Columns, Costs, Space

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


def _decisions() -> tuple[Decision, ...]:
    decisions = []
    for cell in CELLS:
        for node in NODES:
            decisions.append(Decision(f"{cell}.node{node}.inputs", input_pairs(node)))
            decisions.extend(Decision(f"{cell}.node{node}.op{i}", PRIMITIVES) for i in (1, 2))
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


@dataclass(frozen=True)
class _Family:
    """The networks and costs of all architectures on one skeleton."""

    skeleton: Skeleton
    drop_path: float

    def network(self, architecture: Architecture) -> nn.Module:
        """The network of one architecture with fresh weights."""
        return GenotypeNetwork(self.skeleton, to_genotype(architecture), drop_path=self.drop_path)

    def cost(self, columns: Columns) -> Costs:
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
        return Costs(total[:, 0], total[:, 1])

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
) -> Space:
    """The published space of 1.0768e18 pairs of cells, as networks for evaluation.

    Args:
        width: Channels of the first cells; published are 36, and 48 for ImageNet.
        cells: Cells in the network; published are 20, and 14 for ImageNet.
        image_size: Pixels of the square images; 224 for ImageNet.
        channels: Channels of an image.
        classes: Number of outputs.
        stem: `cifar`, or `imagenet` to begin at an eighth of the image size.
        drop_path: Probability that an operation is left out for an image in training; published is up to 0.2.
    """
    skeleton = Skeleton(width=width, cells=cells, image_size=image_size, channels=channels, classes=classes, stem=stem)
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path must be from 0 to below 1, got {drop_path}")
    family = _Family(skeleton, drop_path)
    return Space(
        name="darts",
        decisions=_decisions(),
        input_shape=(channels, image_size, image_size),
        classes=classes,
        cost=family.cost,
        network=family.network,
        formats={("genotype",): parse},
    )
