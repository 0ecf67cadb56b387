"""ResNets whose poolings may stand before any block: where a network loses resolution, and nothing else, is free.

Paper: Javan et al., Balanced Mixture of SuperNets for Learning the CNN Pooling Architecture, AutoML-Conf 2023 (PMLR
v224). A configuration is the number of layers at each resolution: 433 is the usual ResNet-20.
Differs: norms keep running statistics, because every subnet is calibrated before it is judged; published networks
are judged with the statistics of a batch. Weights are those of torch's default initialisation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import comb
from typing import TYPE_CHECKING

from search_spaces import costs
from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.errors import FieldError
from search_spaces.inputs import images
from search_spaces.limits import MOST_OF_IMAGES, check_most
from search_spaces.places import Block, Place, fixed
from search_spaces.sizes import strided
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class _Published:
    """Channels that leave the blocks of each stage, blocks of each, and the factor between them and those inside."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    expand: int


NETWORKS = {
    "resnet20": _Published((16, 32, 64), (3, 3, 3), 1),
    "resnet18": _Published((64, 128, 256, 512), (2, 2, 2, 2), 1),
    "resnet50": _Published((256, 512, 1024, 2048), (3, 4, 6, 3), 4),
}
STEMS = {"small": (3, 1), "large": (7, 2)}
"""Kernel and stride of the first convolution; a pooling of kernel 3 and stride 2 follows the large one."""


@dataclass(frozen=True)
class Layer:
    """One residual block: its channels, and those inside."""

    name: str
    in_width: int
    width: int
    expand: int

    @property
    def inner(self) -> int:
        """Channels inside the block."""
        return self.width // self.expand

    def module(self) -> nn.Module:
        """Return the block with fresh weights."""
        from search_spaces.networks.pooling_network import residual_block

        return residual_block(self.in_width, self.inner, self.width)

    def count(self, pixels: int) -> Counter[str]:
        """Return the exact costs of the block on so many pixels; its norms have no weights."""
        convolution = partial(costs.convolution, pixels=pixels)
        if self.expand == 1:
            main = convolution(self.in_width, self.width, 3) + convolution(self.width, self.width, 3)
        else:
            inside = convolution(self.inner, self.inner, 3)
            main = convolution(self.in_width, self.inner) + inside + convolution(self.inner, self.width)
        return main if self.in_width == self.width else main + convolution(self.in_width, self.width)

    def block(self, side: int, before: int, *values: Choice) -> Block | None:
        """Return the block where the poolings stand as `values` say.

        Args:
            side: Pixels of one side that leave the stem.
            before: Number of this block, from 1.
            values: Numbers of the blocks that a pooling stands before.
        """
        side //= 2 ** sum(int(value) <= before for value in values)
        if side < 1:
            return None  # twice the same position: no member of the space
        pixels = side * side
        name = f"residual {self.in_width}-{self.inner}-{self.width}"
        return Block(name, (self.in_width, side, side), self.module, partial(self.count, pixels))


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """The numbers that no decision changes."""

    network: str
    stem: str
    image_size: int
    channels: int
    classes: int

    def __post_init__(self) -> None:
        check_most(self, MOST_OF_IMAGES)
        for field, known in (("network", NETWORKS), ("stem", STEMS)):
            if getattr(self, field) not in known:
                raise FieldError(field, f"must be one of {', '.join(known)}, got {getattr(self, field)!r}")
        least = {"image_size": 2**self.poolings * (4 if self.stem == "large" else 1), "channels": 1, "classes": 2}
        for field, at_least in least.items():
            if getattr(self, field) < at_least:
                raise FieldError(field, f"must be at least {at_least}, got {getattr(self, field)}")

    @property
    def poolings(self) -> int:
        """Number of poolings to place: one less than there are stages."""
        return len(NETWORKS[self.network].depths) - 1

    @property
    def layers(self) -> list[Layer]:
        """All residual blocks in order."""
        published, layers = NETWORKS[self.network], list[Layer]()
        width = self.stem_width
        for out_width, depth in zip(published.widths, published.depths):
            for _ in range(depth):
                layers.append(Layer(f"block{len(layers) + 1}", width, out_width, published.expand))
                width = out_width
        return layers

    @property
    def stem_width(self) -> int:
        """Channels that leave the stem."""
        published = NETWORKS[self.network]
        return published.widths[0] // published.expand

    @property
    def side(self) -> int:
        """Pixels of one side that leave the stem."""
        side = strided(self.image_size, STEMS[self.stem][1])
        return side if self.stem == "small" else strided(side, 2)

    @property
    def positions(self) -> tuple[int, ...]:
        """Numbers of the blocks, from 1, that a pooling can stand before; a small stem is a layer of its own."""
        return tuple(range(1 if self.stem == "small" else 2, len(self.layers) + 1))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the decisions."""
        return tuple(f"pool{i}" for i in range(1, self.poolings + 1))

    def fold(self, values: dict[str, Choice]) -> dict[str, Choice]:
        """Return positions in rising order.

        Raises:
            InvalidArchitecture: One is missing, or two are the same.
        """
        places = [values.get(name) for name in self.names]
        if None in places or len(set(places)) < len(places):
            raise InvalidArchitecture(f"{', '.join(self.names)} must be different blocks, got {places}")
        return dict(zip(self.names, sorted(int(place) for place in places if place is not None)))

    # ---- networks -------------------------------------------------------------------------------------------------

    def plain(self, architecture: Architecture) -> nn.Module:
        """Return the network of one architecture with fresh weights."""
        from search_spaces.elastic import extracted, following_layers

        network = self.supernet()
        for layer in following_layers(network):
            layer.activate(architecture)
        return extracted(network)

    def supernet(self) -> nn.Module:
        """Return the network whose poolings follow an architecture; all of them share all weights."""
        from search_spaces.elastic.pool import ElasticPool
        from search_spaces.networks.pooling_network import PoolingNetwork

        pools = {position: ElasticPool(position, self.names) for position in self.positions}
        blocks = [layer.module() for layer in self.layers]
        return PoolingNetwork(self.stem_module(), blocks, pools, self.layers[-1].width, self.classes)

    def stem_module(self) -> nn.Module:
        """Return the first convolution with fresh weights, and what follows it up to the first block."""
        from search_spaces.networks.pooling_network import stem

        return stem(self.channels, self.stem_width, *STEMS[self.stem], pooled=self.stem == "large")

    def places(self) -> list[Place]:
        """Return the places of stem, blocks and head."""
        size, width = self.image_size, self.layers[-1].width
        name = f"stem {self.stem} {self.channels}-{self.stem_width}"
        stem = Block(name, (self.channels, size, size), self.stem_module, self._stem_count)
        blocks = [
            Place(self.names, partial(layer.block, self.side, number)) for number, layer in enumerate(self.layers, 1)
        ]
        head_count = partial(costs.linear, width, self.classes)
        head = Block(f"head {width}-{self.classes}", (width, 1, 1), self._head_module, head_count)
        return [fixed(stem), *blocks, fixed(head)]

    def _stem_count(self) -> Counter[str]:
        kernel, stride = STEMS[self.stem]
        pixels = strided(self.image_size, stride) ** 2
        return costs.convolution(self.channels, self.stem_width, kernel, pixels=pixels)

    def _head_module(self) -> nn.Module:
        from torch import nn

        from search_spaces.blocks import PixelMean

        return nn.Sequential(PixelMean(), nn.Linear(self.layers[-1].width, self.classes))

    # ---- strings --------------------------------------------------------------------------------------------------

    def parse(self, config: str) -> dict[str, Choice]:
        """Return the decisions of the numbers of layers at each resolution, such as ``433`` or ``10-4-2-1``.

        Raises:
            InvalidArchitecture: They are not one number of 1 or more for each resolution, or not all layers together.
        """
        text = config.strip()
        written = re.fullmatch(r"[0-9]+(-[0-9]+)*", text)
        counts = [int(part) for part in (text.split("-") if "-" in text else text)] if written else []
        before = 2 - self.positions[0]  # layers in front of the blocks
        total = len(self.layers) + before
        if len(counts) != self.poolings + 1 or min(counts) < 1 or sum(counts) != total:
            allowed = f"{self.poolings + 1} numbers of 1 or more that add up to {total}, such as {self.usual}"
            raise InvalidArchitecture(f"config {config!r} must be {allowed}")
        ends = [sum(counts[: i + 1]) for i in range(self.poolings)]
        return {name: end + 1 - before for name, end in zip(self.names, ends)}

    @property
    def usual(self) -> str:
        """The configuration of the network as it is usually built."""
        depths = list(NETWORKS[self.network].depths)
        depths[0] += 2 - self.positions[0]
        return "-".join(map(str, depths))

    def config(self, architecture: Mapping[str, Choice]) -> tuple[int, ...]:
        """Return the number of layers at each resolution."""
        before = 2 - self.positions[0]
        ends = [0, *(int(architecture[name]) - 1 + before for name in self.names), len(self.layers) + before]
        return tuple(end - start for start, end in pairwise(ends))


def pooling(
    *,
    network: str = "resnet20",
    stem: str = "small",
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
) -> Space:
    """Return the space of the positions of poolings; 36 for ResNet-20, 56 and 560 for ResNet-18 and 50.

    Args:
        network: `resnet20`, `resnet18` or `resnet50`; its channels stay where they are.
        stem: `small`, a 3x3 convolution; or `large`, 7x7 of stride 2 and a pooling, for large images, after which the
            first block stays in front of all poolings: 35 and 455 positions for ResNet-18 and 50.
        image_size: Pixels of the square images.
        channels: Channels of an image.
        classes: Number of outputs.
    """
    skeleton = Skeleton(network=network, stem=stem, image_size=image_size, channels=channels, classes=classes)
    positions, names = skeleton.positions, skeleton.names
    ends = (dict(zip(names, positions)), dict(zip(names, positions[-len(names) :])))
    return Space(
        name="pooling",
        decisions=tuple(Decision(name, positions) for name in names),
        inputs=images(channels, image_size),
        build=skeleton.supernet,
        network=skeleton.plain,
        fold=skeleton.fold,
        size=comb(len(positions), len(names)),
        extremes=ends,
        places=skeleton.places,
        formats={("config",): skeleton.parse},
    )
