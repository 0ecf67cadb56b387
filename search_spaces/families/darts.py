"""The DARTS space: two cells of four nodes, each with two of the earlier states as input.

Paper: Liu et al., DARTS, arXiv 1806.09055.
Differs: an architecture does not keep the order in which a node lists its inputs; a `Genotype` does. A supernet has
no operation `none`, which is never chosen, and runs the two inputs that a node reads, not all of them, unless it runs a
mixture of edges; its cells are otherwise those of the published search network where `shared_affine` is false, and
those of single networks where it is true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from search_spaces import costs
from search_spaces.alone import Alone
from search_spaces.architecture import Architecture
from search_spaces.errors import FieldError
from search_spaces.families.darts_cells import (
    DECISIONS_OF_NODE,
    NODES,
    STATES,
    all_decisions,
    edge_vectors,
    graphs,
    parse,
    to_genotype,
)
from search_spaces.families.genotype_skeleton import CellPlace, Skeleton, halved
from search_spaces.inputs import images
from search_spaces.places import Block, Place, fixed
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class _Family:
    """The networks of all architectures on one skeleton."""

    skeleton: Skeleton
    drop_path: float
    shared_affine: bool
    entangled: bool = False

    def network(self, architecture: Architecture) -> nn.Module:
        """Return the network of one architecture with fresh weights."""
        from search_spaces.networks.genotype_network import GenotypeNetwork

        return GenotypeNetwork(self.skeleton, to_genotype(architecture), drop_path=self.drop_path)

    def trained_alone(self, architecture: Architecture) -> nn.Module:
        """Return the network of one architecture with fresh weights, and a second classifier where there is room."""
        from search_spaces.networks.genotype_network import GenotypeNetwork, auxiliary_fits

        auxiliary = auxiliary_fits(self.skeleton)
        return GenotypeNetwork(self.skeleton, to_genotype(architecture), auxiliary=auxiliary)

    def begin_epoch(self, network: nn.Module, part: float) -> None:
        """Let the probability that operations are left out rise with the training."""
        from search_spaces.networks.genotype_network import GenotypeNetwork

        assert isinstance(network, GenotypeNetwork)
        network.drop_path = self.drop_path * part

    def supernet(self) -> nn.Module:
        """Return the network whose cells follow an architecture; each operation of each edge has its own weights."""
        from search_spaces.networks.darts_network import supernet

        return supernet(
            self.skeleton, drop_path=self.drop_path, shared_affine=self.shared_affine, entangled=self.entangled
        )

    def places(self) -> list[Place]:
        """Return the places: stems, the cells that are alike (inputs, operations, sums, output), classifier."""
        places = [fixed(block) for block in self._stem_blocks()]
        cells = self.skeleton.places(len(NODES), len(NODES))
        for cell, repeats in Counter(cells).items():
            places += _cell_places(cell, repeats)
        return [*places, fixed(_head_block(len(NODES) * cells[-1].width, cells[-1].out_size, self.skeleton.classes))]

    def _stem_blocks(self) -> list[Block]:
        skeleton, size = self.skeleton, self.skeleton.image_size
        counts = skeleton.stem_counts()
        name = f"stem {skeleton.stem} {skeleton.width}"
        first = Block(name, (skeleton.channels, size, size), partial(self._stem, 0), lambda: counts[0])
        if len(counts) == 1:
            return [first]
        reduced = (skeleton.width, halved(size, 2), halved(size, 2))
        return [first, Block(f"stem 2 {skeleton.width}", reduced, partial(self._stem, 1), lambda: counts[1])]

    def _stem(self, which: int) -> nn.Module:
        from search_spaces.networks.genotype_network import stems

        return stems(self.skeleton)[which]


_ALONE: Mapping[str, tuple[float, Mapping[str, Any]]] = {
    "cifar": (600, {"width": 36, "cells": 20, "drop_path": 0.2}),
    "imagenet": (250, {"width": 48, "cells": 14, "drop_path": 0.0}),
}
"""Stem -> epochs and options with which published architectures are trained alone."""
_FURTHER = 0.4  # weight of the loss of the second classifier


def _head_block(width: int, size: int, classes: int) -> Block:
    def build() -> nn.Module:
        from torch import nn

        from search_spaces.blocks import PixelMean

        return nn.Sequential(PixelMean(), nn.Linear(width, classes))

    return Block(f"head {width}-{classes}", (width, size, size), build, partial(costs.linear, width, classes))


def _cell_places(cell: CellPlace, repeats: int) -> list[Place]:
    """Return the places of cells that stand alike."""
    places = [fixed(_preprocess_block(cell, which), repeats) for which in (0, 1)]
    for node in NODES:
        reads, *operations = DECISIONS_OF_NODE["reduce" if cell.reduction else "normal", node]
        places += [
            Place((reads, name), partial(_operation_block, cell, i), repeats) for i, name in enumerate(operations)
        ]
    out = (cell.width, cell.out_size, cell.out_size)
    sums = Block("sum of 2", out, _sum_of_two, Counter)
    concat = Block(f"concat of {len(NODES)}", out, _concatenation, Counter)
    return [*places, fixed(sums, len(NODES) * repeats), fixed(concat, repeats)]


def _preprocess_block(cell: CellPlace, which: int) -> Block:
    """Return what brings the first or second input of a cell to its width."""

    def build() -> nn.Module:
        from search_spaces.networks.genotype_network import preprocessing

        return preprocessing(cell)[which]

    kind = "reduce" if cell.after_reduction and which == 0 else "conv"
    shape = (cell.widths[which], cell.sizes[which], cell.sizes[which])
    return Block(f"preprocess {kind} {cell.width}", shape, build, lambda: cell.preprocess_counts()[which])


def _operation_block(cell: CellPlace, which: int, inputs: str, operation: str) -> Block | None:
    """Return the operation on the first or second state that a node reads; None for a plain skip."""
    state = STATES[inputs][which]
    stride, size = cell.stride(state), cell.operation_size(state)
    if operation == "skip_connect" and stride == 1:
        return None

    def build() -> nn.Module:
        from search_spaces.networks.genotype_network import operation_on

        return operation_on(cell, state, operation)

    name = f"{operation}{' s2' if stride == 2 else ''}"
    return Block(name, (cell.width, size, size), build, partial(cell.operation_count, operation, state))


def _sum_of_two() -> nn.Module:
    from search_spaces.blocks import Sum

    return Sum(2)


def _concatenation() -> nn.Module:
    from search_spaces.blocks import Concat

    return Concat(len(NODES))


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
    entangled: bool = False,
) -> Space:
    """Return the published space of 1.0768e18 pairs of cells.

    Args:
        width: Channels of the first cells; published are 36, 48 for ImageNet, and 16 for the search.
        cells: Cells in the network; published are 20, 14 for ImageNet, and 8 for the search.
        image_size: Pixels of the square images; 224 for ImageNet.
        channels: Channels of an image.
        classes: Number of outputs.
        stem: `cifar`, or `imagenet` to begin at an eighth of the image size.
        drop_path: Probability that an operation is left out for an image in training; published is up to 0.2, to which
            it rises where a network is trained alone.
        shared_affine: Whether the norms in the cells of a supernet have weights, as those of single networks do.
            Published supernets have none, and such a norm after each pooling.
        entangled: Whether separable convolutions of one edge of a supernet share weights, and dilated ones do, the 3x3
            kernels being the centres of the 5x5 ones, as in TangleNAS.
    """
    skeleton = Skeleton(width=width, cells=cells, image_size=image_size, channels=channels, classes=classes, stem=stem)
    if not 0 <= drop_path < 1:
        raise FieldError("drop_path", f"must be from 0 to below 1, got {drop_path}")
    family = _Family(skeleton, drop_path, shared_affine, entangled)
    epochs, options = _ALONE[stem]
    return Space(
        name="darts",
        decisions=all_decisions(),
        inputs=images(channels, image_size),
        build=family.supernet,
        network=family.network,
        places=family.places,
        formats={("genotype",): parse},
        graphs=graphs,
        vectors=edge_vectors(),
        alone=Alone(
            epochs=epochs,
            options={**options, "shared_affine": True, "entangled": False},
            network=family.trained_alone,
            further=_FURTHER,
            begin_epoch=family.begin_epoch,
        ),
    )
