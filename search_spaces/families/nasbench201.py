"""NAS-Bench-201: a cell of four nodes and six edges, each with one of five operations.

Paper: Dong & Yang, NAS-Bench-201, arXiv 2001.00326; the topology space of NATS-Bench.
Differs: nothing known for single networks. Weights are those of torch's default initialisation. A supernet without
`shared_affine` is that of PA&DA, parameter for parameter; in that of GM-NAS, stem, residual blocks and last norm keep
their weights. Norms of both have no running statistics; ours are calibrated before a subnet is judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from search_spaces import costs
from search_spaces.alone import Alone
from search_spaces.architecture import Architecture, Choice, Decision
from search_spaces.errors import FieldError
from search_spaces.families.nasbench201_cell import (
    EDGES,
    KERNELS,
    OPERATIONS,
    edge_name,
    graphs,
    only_connected,
    parse,
    parse_cell,
    path_traits,
)
from search_spaces.inputs import images
from search_spaces.limits import MOST_CHANNELS, MOST_LAYERS, MOST_OF_IMAGES, check_most
from search_spaces.places import Block, Condition, Place, fixed
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

_STAGES = 3
_CONNECTED = 15_284
_DIRECT: Mapping[str, Choice] = {edge_name(*edge): "skip_connect" if edge == (0, 3) else "none" for edge in EDGES}
_READERS: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (("edge1_3",), ("edge1_2", "edge2_3")),
    2: (("edge2_3",),),
    3: ((),),
}
"""Node -> the ways from it to the output; where each has an edge without operation, the node reaches nothing."""

_MOST = {"width": MOST_CHANNELS, "cells": MOST_LAYERS, **MOST_OF_IMAGES}
_ALONE = {"width": 16, "cells": 5, "shared_affine": True, "entangled": False}  # as the architectures of the table


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """The numbers around the cells: three stages of equal cells, each after the first with half the pixels and twice
    the channels."""

    width: int
    cells: int
    image_size: int
    channels: int
    classes: int
    shared_affine: bool = True
    entangled: bool = False

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        for field, least in (("width", 1), ("cells", 1), ("channels", 1), ("classes", 2)):
            if getattr(self, field) < least:
                raise FieldError(field, f"must be at least {least}, got {getattr(self, field)}")
        if self.image_size < 4 or self.image_size % 4:
            raise FieldError("image_size", f"must be a multiple of 4 pixels, got {self.image_size}")

    @property
    def stages(self) -> list[tuple[int, int]]:
        """(channels, pixels of one side) of the feature maps of each stage."""
        return [(self.width * 2**s, self.image_size // 2**s) for s in range(_STAGES)]

    def network(self, architecture: Architecture) -> nn.Module:
        """Return the network of one architecture with fresh weights."""
        from search_spaces.networks.nasbench201_network import chosen_cell

        return self._network(lambda width: chosen_cell(architecture, width))

    def supernet(self) -> nn.Module:
        """Return the network whose edges follow an architecture; each operation of each edge has its own weights."""
        from search_spaces.elastic import with_shared_norms
        from search_spaces.networks.nasbench201_network import elastic_cell

        affine, entangled = self.shared_affine, self.entangled
        network = self._network(lambda width: elastic_cell(width, affine=affine, entangled=entangled), affine=affine)
        return with_shared_norms(network)

    def _network(self, cell: Callable[[int], Any], *, affine: bool = True) -> nn.Module:
        from search_spaces.networks.nasbench201_network import NASBench201Network

        widths = [width for width, _ in self.stages]
        numbers = {"cells": self.cells, "channels": self.channels, "classes": self.classes}
        return NASBench201Network(widths, cell, **numbers, affine=affine)

    def places(self) -> list[Place]:
        """Return the stem; the operations and the sums of the cells of each stage, all alike; residual blocks; head."""
        places = [fixed(self._stem_block())]
        for (before, size), (after, half) in pairwise(self.stages):
            places.append(fixed(_residual_block(before, after, size, half)))
        for width, size in self.stages:
            places += _cell_places((width, size, size), self.cells)
        return [*places, fixed(self._head_block())]

    def _stem_block(self) -> Block:
        def build() -> nn.Module:
            from search_spaces.networks.nasbench201_network import stem

            return stem(self.channels, self.width)

        size = self.image_size
        count = partial(costs.conv_norm, self.channels, self.width, 3, pixels=size**2)
        return Block(f"stem {self.channels}-{self.width}", (self.channels, size, size), build, count)

    def _head_block(self) -> Block:
        width, size = self.stages[-1]

        def build() -> nn.Module:
            from search_spaces.networks.nasbench201_network import head

            return head(width, self.classes)

        def count() -> Counter[str]:
            return costs.norm(width) + costs.linear(width, self.classes)

        return Block(f"head {width}-{self.classes}", (width, size, size), build, count)


def _residual_block(before: int, after: int, size: int, half: int) -> Block:
    def build() -> nn.Module:
        from search_spaces.networks.nasbench201_network import ResidualBlock

        return ResidualBlock(before, after)

    def count() -> Counter[str]:
        main = costs.conv_norm(before, after, 3, pixels=half**2) + costs.conv_norm(after, after, 3, pixels=half**2)
        return main + costs.convolution(before, after, pixels=half**2)

    return Block(f"residual {before}-{after}", (before, size, size), build, count)


def _cell_places(shape: tuple[int, int, int], repeats: int) -> list[Place]:
    """Return the operations on the six edges of cells on feature maps of one shape, and the sums at their three nodes.

    Backends that do not look ahead compute all of it. Others leave out nodes that the output does not read, and pool
    the same feature maps only once, even where several edges do so.
    """
    places = []
    for i, (source, target) in enumerate(EDGES):
        edge, before = edge_name(source, target), [edge_name(*earlier) for earlier in EDGES[:i]]
        names = dict.fromkeys((edge, *before, *_reading(*(node for _, node in EDGES[: i + 1]))))
        unused = Condition(tuple(names), partial(_is_unneeded, (source, target)))
        places.append(Place((edge,), partial(_edge_block, shape), repeats, unused))
    for target in _READERS:
        incoming = tuple(edge_name(source, target) for source in range(target))
        unused = Condition(_reading(target), partial(_reaches_nothing, target))
        places.append(Place(incoming, partial(_sum_block, shape), repeats, unused if unused.decisions else None))
    return places


def _reading(*nodes: int) -> tuple[str, ...]:
    """Return the edges that read these nodes."""
    return tuple(dict.fromkeys(name for node in nodes for way in _READERS[node] for name in way))


def _is_unneeded(edge: tuple[int, int], chosen: Mapping[str, Choice]) -> bool:
    return not _is_needed(edge, chosen)


def _reaches_nothing(node: int, chosen: Mapping[str, Choice]) -> bool:
    return not _reaches(node, chosen)


def _is_needed(edge: tuple[int, int], chosen: Mapping[str, Choice]) -> bool:
    """Return whether the output reads the node that an edge leads to, and no other edge gives the same already."""
    source, target = edge
    if not _reaches(target, chosen):
        return False
    if chosen[edge_name(*edge)] != "avg_pool_3x3":
        return True
    same = _origin(source, chosen)
    return not any(
        chosen[edge_name(*earlier)] == "avg_pool_3x3"
        and _origin(earlier[0], chosen) == same
        and _reaches(earlier[1], chosen)
        for earlier in EDGES[: EDGES.index(edge)]
    )


def _origin(node: int, chosen: Mapping[str, Choice]) -> int:
    """Return the first node with the same feature maps: a node with only a skip connection has those of its source."""
    sources = [source for source in range(node) if chosen[edge_name(source, node)] != "none"]
    if len(sources) == 1 and chosen[edge_name(sources[0], node)] == "skip_connect":
        return _origin(sources[0], chosen)
    return node


def _reaches(node: int, chosen: Mapping[str, Choice]) -> bool:
    """Return whether the output reads a node."""
    return any(all(chosen[name] != "none" for name in way) for way in _READERS[node])


def _edge_block(shape: tuple[int, int, int], operation: str) -> Block | None:
    if operation in ("none", "skip_connect"):
        return None
    width, size, _ = shape

    def build() -> nn.Module:
        from search_spaces.networks.nasbench201_network import operation_module

        return operation_module(operation, width)

    def count() -> Counter[str]:
        kernel = KERNELS.get(operation)
        return costs.conv_norm(width, width, kernel, pixels=size**2) if kernel else Counter()

    return Block(operation, shape, build, count)


def _sum_block(shape: tuple[int, int, int], *operations: str) -> Block | None:
    terms = sum(operation != "none" for operation in operations)

    def build() -> nn.Module:
        from search_spaces.blocks import Sum

        return Sum(terms)

    return None if terms == 1 else Block(f"sum of {terms}", shape, build, Counter)


def nasbench201(
    *,
    width: int = 16,
    cells: int = 5,
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
    shared_affine: bool = True,
    connected: bool = False,
    entangled: bool = False,
) -> Space:
    """Return the published space of 15,625 cells.

    Args:
        width: Channels of the first stage; they double with every stage.
        cells: Cells of each of the three stages.
        image_size: Pixels of the square images, a multiple of 4; published are 32, and 16 for ImageNet16-120.
        channels: Channels of an image.
        classes: Number of outputs; published are 10, 100 and 120.
        shared_affine: Whether the norms of a supernet have weights, as those of single networks do. The supernet of
            PA&DA has none anywhere, and biases in the convolutions of edges and residual blocks instead.
        connected: Whether the 341 cells without a path from input to output are left out. Random search with parameter
            sharing and GM-NAS leave them out, as released; PA&DA trains and ranks them.
        entangled: Whether both convolutions of an edge of a supernet share weights, the 1x1 kernel being the centre of
            the 3x3 one, as in TangleNAS.
    """
    skeleton = Skeleton(
        width=width,
        cells=cells,
        image_size=image_size,
        channels=channels,
        classes=classes,
        shared_affine=shared_affine,
        entangled=entangled,
    )
    return Space(
        name="nasbench201",
        decisions=tuple(Decision(edge_name(source, target), OPERATIONS) for source, target in EDGES),
        inputs=images(channels, image_size),
        build=skeleton.supernet,
        network=skeleton.network,
        places=skeleton.places,
        fold=only_connected if connected else None,
        size=_CONNECTED if connected else None,
        extremes=(_DIRECT, {edge_name(*edge): OPERATIONS[-1] for edge in EDGES}) if connected else None,
        formats={("arch_str",): parse, ("cell",): parse_cell},
        traits=path_traits,
        graphs=graphs,
        alone=Alone(epochs=200, options=_ALONE),
    )
