"""NAS-Bench-101: a cell is any small graph of three operations.

Paper: Ying et al., NAS-Bench-101, arXiv 1902.09635.
Differs: there is no supernet, since the channels of an operation follow the whole graph of its cell. Weights are those
of torch's default initialisation and batch norms have torch's default momentum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.errors import FieldError
from search_spaces.families.graph_paths import Paths
from search_spaces.families.nasbench101_cell import MAX_VERTICES, Cell, parse
from search_spaces.graph import Graph
from search_spaces.inputs import images
from search_spaces.limits import MOST_CHANNELS, MOST_LAYERS, MOST_OF_IMAGES, check_most
from search_spaces.space import Columns, Space

if TYPE_CHECKING:
    from torch import nn

OPERATIONS = ("maxpool3x3", "conv1x1", "conv3x3")
"""Cheapest first."""
_LAST = MAX_VERTICES - 1
_EDGES = [(source, target) for target in range(MAX_VERTICES) for source in range(target)]
_SMALLEST = ("0-1 1-2 1-3 1-4 1-5 2-5 3-5 4-5", "|".join(["maxpool3x3"] * 4))
_LARGEST = ("0-1 0-2 0-3 0-4 1-2 2-3 3-4 4-5 5-6", "|".join(["conv3x3"] * 5))


# ---- architectures and cells ----------------------------------------------------------------------------------------


def to_values(cell: Cell) -> dict[str, Choice]:
    """Return the decisions of a canonical cell: every edge is 0 or 1, missing vertices have no operation.

    The output is always vertex 6, so that its edges have the same name in small and large cells.
    """
    last = cell.vertices - 1
    edges = {(source, _LAST if target == last else target) for source, target in cell.edges}
    values: dict[str, Choice] = {f"edge{s}_{t}": int((s, t) in edges) for s, t in _EDGES}
    return values | {f"op{vertex}": operation for vertex, operation in enumerate(cell.operations, start=1)}


def to_cell(values: Mapping[str, Choice]) -> Cell:
    """Return the cell of an architecture, pruned.

    Raises:
        InvalidArchitecture: It has no path, too many edges, or a vertex without an operation.
    """
    edges = frozenset((s, t) for s, t in _EDGES if values.get(f"edge{s}_{t}", 0))
    operations = [str(values.get(f"op{vertex}", "")) for vertex in range(1, _LAST)]
    for vertex, operation in enumerate(operations, start=1):
        if not operation and any(vertex == s for s, _ in edges) and any(vertex == t for _, t in edges):
            raise InvalidArchitecture(f"decision 'op{vertex}' has no value; choose one of {OPERATIONS}")
    return Cell(edges, tuple(operation or OPERATIONS[0] for operation in operations)).pruned()


def graphs(values: Mapping[str, Choice]) -> list[Graph]:
    """Return the cell; its operations are at the nodes."""
    cell = to_cell(values)
    nodes = ("input", *(f"{i} {operation}" for i, operation in enumerate(cell.operations, start=1)), "output")
    return [Graph(name="cell", nodes=nodes, edges=tuple((s, t, "") for s, t in sorted(cell.edges)))]


def path_traits(columns: Columns) -> np.ndarray:
    """Return what the paths of canonical cells come to [N, 11]: vertices, edges, operations, paths, how deep they are,
    and what feeds the output."""
    present = np.stack([columns[f"edge{source}_{target}"] for source, target in _EDGES], axis=1) == 1
    paths = Paths(_EDGES, present)
    entered = [target for _, target in _EDGES]
    operation = np.stack([columns[f"op{vertex}"] for vertex in range(1, _LAST)], axis=1)
    used = np.stack([present[:, np.array(entered) == vertex].any(axis=1) for vertex in range(1, _LAST)], axis=1)
    counted = [((operation == name) & used).sum(axis=1) for name in OPERATIONS]

    def of_targets(name: str) -> np.ndarray:
        chosen = np.pad(operation == name, ((0, 0), (1, 1)))
        return chosen[:, entered].astype(float)

    steps = np.ones(present.shape)
    depths = [paths.longest(steps), paths.shortest(steps), paths.longest(of_targets("conv3x3"))]
    pooled = paths.shortest(of_targets("maxpool3x3"))
    direct = present[:, _EDGES.index((0, _LAST))]
    outputs = present[:, np.array(entered) == _LAST].sum(axis=1)
    fields = [*counted, *depths, pooled, present.sum(axis=1), np.log1p(paths.count()), direct, outputs]
    return np.stack(fields, axis=1).astype(float)


def _fold(values: Mapping[str, Choice]) -> dict[str, Choice]:
    return to_values(to_cell(values).canonical())


def _parse(edges: str, operations: str) -> dict[str, Choice]:
    return to_values(parse(edges, operations).pruned())


# ---- the numbers around the cell ------------------------------------------------------------------------------------

_MOST = {"width": MOST_CHANNELS, "stacks": 8, "cells": MOST_LAYERS, **MOST_OF_IMAGES}


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """The numbers around the cell: every stack after the first has half the pixels and twice the channels."""

    width: int
    stacks: int
    cells: int
    image_size: int
    channels: int
    classes: int

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits = (("width", MAX_VERTICES), ("stacks", 1), ("cells", 1), ("channels", 1), ("classes", 2))
        for field, least in limits:
            if getattr(self, field) < least:
                raise FieldError(field, f"must be at least {least}, got {getattr(self, field)}")
        if self.image_size < 2 ** (self.stacks - 1):
            raise FieldError("image_size", f"must be at least {2 ** (self.stacks - 1)} pixels, got {self.image_size}")

    @property
    def stacks_widths(self) -> list[tuple[int, int]]:
        """Channels that enter and leave each stack."""
        return [(self.width * 2 ** max(0, s - 1), self.width * 2**s) for s in range(self.stacks)]

    def network(self, architecture: Architecture) -> nn.Module:
        """Return the network of one architecture with fresh weights."""
        from search_spaces.networks.nasbench101_network import NASBench101Network

        cell, widths = to_cell(architecture), self.stacks_widths
        return NASBench101Network(cell, widths, cells=self.cells, channels=self.channels, classes=self.classes)

    def cost(self, columns: Columns) -> dict[str, np.ndarray]:
        """Return exact costs: parameters with batch-norm weights and biases; MACs of convolutions and the classifier.

        They are not sums over blocks: the channels of every vertex follow the whole graph.
        """
        graphs = _Graphs.of(columns)
        stem, classifier = 9 * self.channels * self.width, self.stacks_widths[-1][1] * self.classes
        params = np.full(len(graphs.edges), stem + 2 * self.width + classifier + self.classes, dtype=np.int64)
        macs = np.full(len(graphs.edges), stem * self.image_size**2 + classifier, dtype=np.int64)
        for stack, (in_width, out_width) in enumerate(self.stacks_widths):
            pixels = (self.image_size >> stack) ** 2
            for before, cells in ((in_width, 1), (out_width, self.cells - 1)):
                weights, norms = graphs.weights(before, out_width)
                params += cells * (weights + norms)
                macs += cells * weights * pixels
        return {"params": params, "macs": macs}


@dataclass(frozen=True)
class _Graphs:
    """Many canonical cells: `edges` [N, 7, 7] and kernel sizes [N, 5], 0 for pooling."""

    edges: np.ndarray
    kernels: np.ndarray

    @classmethod
    def of(cls, columns: Columns) -> _Graphs:
        edges = np.zeros((len(columns["edge0_1"]), MAX_VERTICES, MAX_VERTICES), dtype=np.int64)
        for source, target in _EDGES:
            edges[:, source, target] = columns[f"edge{source}_{target}"]
        sizes = {"maxpool3x3": 0, "conv1x1": 1, "conv3x3": 3}
        kernels = [sum(size * (columns[f"op{v}"] == op) for op, size in sizes.items()) for v in range(1, _LAST)]
        return cls(edges, np.stack(kernels, axis=1))

    def widths(self, out_width: int) -> np.ndarray:
        """Return the channels of the inner vertices [N, 5]; 0 for those that a cell does not have."""
        feeding = self.edges[:, 1:_LAST, _LAST]
        number = np.maximum(feeding.sum(axis=1, keepdims=True), 1)
        more = np.cumsum(feeding, axis=1) <= out_width % number
        widths = feeding * (out_width // number + more)
        for vertex in range(_LAST - 1, 0, -1):
            fed = (self.edges[:, vertex, 1:_LAST] * widths).max(axis=1)
            widths[:, vertex - 1] = np.where(feeding[:, vertex - 1] > 0, widths[:, vertex - 1], fed)
        return widths

    def weights(self, in_width: int, out_width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of the convolutions [N] and of the batch norms [N] of one cell."""
        widths = self.widths(out_width)
        projected = self.edges[:, 0, 1:_LAST] * widths
        through = self.edges[:, 0, _LAST] * out_width
        weights = in_width * (projected.sum(axis=1) + through) + (self.kernels**2 * widths**2).sum(axis=1)
        norms = 2 * (projected.sum(axis=1) + through + ((self.kernels > 0) * widths).sum(axis=1))
        return weights, norms


def nasbench101(
    *, width: int = 128, stacks: int = 3, cells: int = 3, image_size: int = 32, channels: int = 3, classes: int = 10
) -> Space:
    """Return the published space of 423,624 cells.

    Args:
        width: Channels of the first stack; they double with every stack.
        stacks: Stacks of cells, with max pooling between.
        cells: Cells of each stack.
        image_size: Pixels of the square images.
        channels: Channels of an image.
        classes: Number of outputs.
    """
    skeleton = Skeleton(
        width=width, stacks=stacks, cells=cells, image_size=image_size, channels=channels, classes=classes
    )
    decisions = [Decision(f"edge{source}_{target}", (0, 1)) for source, target in _EDGES]
    decisions += [Decision(f"op{vertex}", OPERATIONS) for vertex in range(1, _LAST)]
    return Space(
        name="nasbench101",
        decisions=tuple(decisions),
        inputs=images(channels, image_size),
        cost=skeleton.cost,
        network=skeleton.network,
        fold=_fold,
        size=423_624,
        extremes=(_parse(*_SMALLEST), _parse(*_LARGEST)),
        formats={("edges", "ops"): _parse},
        traits=path_traits,
        graphs=graphs,
    )
