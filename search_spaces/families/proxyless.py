"""ProxylessNAS: a MobileNetV2-like backbone, every layer of which is one of six MobileNet blocks or a skip.

Paper: Cai et al., ProxylessNAS, arXiv 1812.00332, section 4.2.
Differs: nothing known of the space; the released networks have the parameters that it gives them. Weights are those of
torch's default initialisation. In a supernet every operation of every layer has weights of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import isqrt
from typing import TYPE_CHECKING

from search_spaces import costs
from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.errors import FieldError
from search_spaces.inputs import images
from search_spaces.limits import MOST_CHANNELS, MOST_LAYERS, MOST_OF_IMAGES, check_most
from search_spaces.places import Block, Place, fixed
from search_spaces.sizes import strided
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

SKIP = "skip"
KERNELS = (3, 5, 7)
EXPANDS = (3, 6)
_MOST_BLOCKS = 9


def operations(kernels: Sequence[int] = KERNELS, expands: Sequence[int] = EXPANDS) -> tuple[str, ...]:
    """Return the operations in the order of the digits of strings: the skip, then by expand ratio and kernel size."""
    return (SKIP, *(f"mb{expand}_k{kernel}" for expand in sorted(expands) for kernel in sorted(kernels)))


_WIDTHS = ("stem_width", "first_width", "stage_widths", "head_width")
_MOST = {
    **dict.fromkeys(_WIDTHS, MOST_CHANNELS),
    "depths": MOST_LAYERS,
    "stem_stride": 16,
    "strides": 16,
    "kernels": 63,
}
_MOST |= {"expands": 64, **MOST_OF_IMAGES}


@dataclass(frozen=True)
class Layer:
    """One place of the network: its decision, channels, stride and the pixels that enter and leave."""

    name: str
    in_width: int
    out_width: int
    stride: int
    in_pixels: int
    out_pixels: int

    @property
    def keeps_shape(self) -> bool:
        """Whether the output has the shape of the input, so that the layer can be skipped."""
        return self.stride == 1 and self.in_width == self.out_width

    def module(self, operation: str) -> nn.Module:
        """Return the layer with this operation and fresh weights."""
        from torch import nn

        from search_spaces.blocks import plain_inverted_residual

        if operation == SKIP:
            return nn.Identity()
        widths, kernel, expands = self._sizes(operation)
        return plain_inverted_residual(widths, kernel=kernel, stride=self.stride, activation=nn.ReLU6, expands=expands)

    def block(self, operation: str) -> Block | None:
        """Return the layer with this operation as a block, None for a plain skip."""
        if operation == SKIP:
            return None
        shape = (self.in_width, isqrt(self.in_pixels), isqrt(self.in_pixels))
        name = f"{operation} {self.in_width}-{self.out_width} s{self.stride}"
        return Block(name, shape, partial(self.module, operation), partial(self.count, operation))

    def count(self, operation: str) -> Counter[str]:
        """Return parameters and MACs of the layer with this operation."""
        if operation == SKIP:
            return Counter()
        widths, kernel, expands = self._sizes(operation)
        return costs.inverted_residual(widths, (self.in_pixels, self.out_pixels), kernel=kernel, expands=expands)

    def _sizes(self, operation: str) -> tuple[tuple[int, int, int], int, bool]:
        """Return widths (in, middle, out), kernel, and whether the block expands."""
        expand, kernel = operation.removeprefix("mb").split("_k")
        return (self.in_width, self.in_width * int(expand), self.out_width), int(kernel), int(expand) > 1

    def choices(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of these operations that can stand here, cheapest first: wide blocks cost more than large
        kernels unless channels are few."""
        possible = [name for name in names if name != SKIP or self.keeps_shape]
        counts = {name: self.count(name) for name in possible}
        return tuple(sorted(possible, key=lambda name: (counts[name]["macs"], counts[name]["params"])))


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """The numbers around the choices; the first layer of a stage has its stride and changes the channels."""

    stem_width: int
    stem_stride: int
    first_width: int
    stage_widths: tuple[int, ...]
    depths: tuple[int, ...]
    strides: tuple[int, ...]
    kernels: tuple[int, ...]
    expands: tuple[int, ...]
    head_width: int
    image_size: int
    channels: int
    classes: int
    dropout: float

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits = ("stem_width", "stem_stride", "first_width", "head_width", "image_size", "channels")
        for field, least in (*((field, 1) for field in limits), ("classes", 2)):
            if getattr(self, field) < least:
                raise FieldError(field, f"must be at least {least}, got {getattr(self, field)}")
        stages = len(self.stage_widths)
        for field in ("stage_widths", "depths", "strides"):
            values = getattr(self, field)
            if not values or len(values) != stages or min(values) < 1:
                raise FieldError(field, f"must be one whole number from 1 for each of {stages} stages, got {values}")
        if not self.kernels or any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise FieldError("kernels", f"must be odd numbers, got {self.kernels}")
        if not self.expands or min(self.expands) < 1:
            raise FieldError("expands", f"must be whole numbers from 1, got {self.expands}")
        names = operations(self.kernels, self.expands)
        if len(set(names)) != len(names) or len(names) > _MOST_BLOCKS + 1:
            raise FieldError(
                "kernels", f"{self.kernels} and expands {self.expands} must give up to {_MOST_BLOCKS} different blocks"
            )
        if not 0 <= self.dropout < 1:
            raise FieldError("dropout", f"must be from 0 to below 1, got {self.dropout}")

    @property
    def operations(self) -> tuple[str, ...]:
        """All operations, in the order of the digits of strings."""
        return operations(self.kernels, self.expands)

    @cached_property
    def first(self) -> Layer:
        """The fixed block after the stem."""
        pixels = strided(self.image_size, self.stem_stride) ** 2
        return Layer("first", self.stem_width, self.first_width, 1, pixels, pixels)

    @cached_property
    def stages(self) -> tuple[tuple[Layer, ...], ...]:
        """The layers with a choice, stage by stage."""
        stages = []
        width, size = self.first_width, strided(self.image_size, self.stem_stride)
        for s, (out_width, depth, stride) in enumerate(zip(self.stage_widths, self.depths, self.strides), start=1):
            layers = []
            for b in range(1, depth + 1):
                step = stride if b == 1 else 1
                after = strided(size, step)
                layers.append(Layer(f"stage{s}.block{b}", width, out_width, step, size**2, after**2))
                width, size = out_width, after
            stages.append(tuple(layers))
        return tuple(stages)

    @property
    def layers(self) -> list[Layer]:
        """All layers with a choice in order."""
        return [layer for stage in self.stages for layer in stage]

    def decisions(self) -> tuple[Decision, ...]:
        """Return one place for every layer."""
        return tuple(Decision(layer.name, layer.choices(self.operations)) for layer in self.layers)

    def network(self, architecture: Architecture) -> nn.Module:
        """Return the network of one architecture with fresh weights."""
        return self._network(lambda layer: layer.module(str(architecture[layer.name])))

    def supernet(self) -> nn.Module:
        """Return the network whose layers follow an architecture, each operation of each with weights of its own."""
        from search_spaces.elastic import ElasticChoice, with_shared_norms

        def made(layer: Layer) -> nn.Module:
            return ElasticChoice(layer.name, {name: layer.module(name) for name in layer.choices(self.operations)})

        return with_shared_norms(self._network(made))

    def _network(self, made: Callable[[Layer], nn.Module]) -> nn.Module:
        from search_spaces.networks.proxyless_network import ProxylessNetwork

        stem, first = self.stem(), self.first.module("mb1_k3")
        stages = [[made(layer) for layer in stage] for stage in self.stages]
        return ProxylessNetwork(stem, first, stages, self.head(), self.dropout)

    def places(self) -> list[Place]:
        """Return the places of stem, first block, layers and head."""
        size, pixels = self.image_size, isqrt(self.layers[-1].out_pixels)
        stem_count = partial(costs.conv_norm, self.channels, self.stem_width, 3, pixels=self.first.in_pixels)
        name = f"stem {self.channels}-{self.stem_width} s{self.stem_stride}"
        stem = Block(name, (self.channels, size, size), self.stem, stem_count)
        width = self.stage_widths[-1]
        name = f"head {width}-{self.head_width}-{self.classes}"
        head = Block(name, (width, pixels, pixels), self._head_block, self._head_count)
        first = Place((), lambda: self.first.block("mb1_k3"))
        return [fixed(stem), first, *(Place((layer.name,), layer.block) for layer in self.layers), fixed(head)]

    def stem(self) -> nn.Module:
        """Return the first convolution."""
        from torch import nn

        from search_spaces.blocks import plain_conv_norm_act

        widths = (self.channels, self.stem_width)
        return plain_conv_norm_act(*widths, 3, stride=self.stem_stride, activation=nn.ReLU6)

    def head(self) -> tuple[nn.Module, nn.Module]:
        """Return the last convolution and, behind the mean over pixels, the classifier."""
        from torch import nn

        from search_spaces.blocks import plain_conv_norm_act

        last = plain_conv_norm_act(self.stage_widths[-1], self.head_width, 1, activation=nn.ReLU6)
        return last, nn.Linear(self.head_width, self.classes)

    def _head_block(self) -> nn.Module:
        from torch import nn

        from search_spaces.blocks import PixelMean

        last, classifier = self.head()
        return nn.Sequential(last, PixelMean(), classifier)

    def _head_count(self) -> Counter[str]:
        pixels = self.layers[-1].out_pixels
        classifier = costs.linear(self.head_width, self.classes)
        return costs.conv_norm(self.stage_widths[-1], self.head_width, pixels=pixels) + classifier

    def parse(self, digits: str) -> dict[str, Choice]:
        """Return the decisions of one operation digit a layer; see `to_string`.

        Raises:
            InvalidArchitecture: The digits name no operations, or are not as many as there are layers.
        """
        layers, last = self.layers, len(self.operations) - 1
        if not re.fullmatch(rf"x?[0-{last}]{{{len(layers)}}}", digits.strip()):
            raise InvalidArchitecture(
                f"arch {digits!r} must be {len(layers)} digits from 0 to {last}, with or without a leading x"
            )
        return {layer.name: self.operations[int(d)] for layer, d in zip(layers, digits.strip().removeprefix("x"))}


def to_string(
    architecture: Mapping[str, Choice], kernels: Sequence[int] = KERNELS, expands: Sequence[int] = EXPANDS
) -> str:
    """Return one operation digit a layer with a leading ``x``: 0 is the skip, 1 to 3 are kernels 3, 5, 7 with expand
    ratio 3, 4 to 6 those with ratio 6; with other `kernels` and `expands` likewise."""
    names = operations(kernels, expands)
    layers = sorted(architecture, key=lambda layer: [int(number) for number in re.findall(r"\d+", layer)])
    return "x" + "".join(str(names.index(str(architecture[layer]))) for layer in layers)


def proxyless(
    *,
    stem_width: int = 32,
    stem_stride: int = 2,
    first_width: int = 16,
    stage_widths: Sequence[int] = (24, 40, 80, 96, 192, 320),
    depths: Sequence[int] = (4, 4, 4, 4, 4, 1),
    strides: Sequence[int] = (2, 2, 2, 1, 2, 1),
    kernels: Sequence[int] = KERNELS,
    expands: Sequence[int] = EXPANDS,
    head_width: int = 1280,
    image_size: int = 224,
    channels: int = 3,
    classes: int = 1000,
    dropout: float = 0.0,
) -> Space:
    """Return the published space of 6^6 x 7^15 architectures: six blocks in every layer, and a skip where shapes agree.

    Rows of tables name an architecture by one digit a layer (`arch`, see `to_string`) or as JSON.

    Args:
        stem_width, stem_stride, first_width: Channels and stride of the stem, and channels of the first, fixed block.
        stage_widths: Output channels of each stage; their number is the number of stages.
        depths: Layers of each stage.
        strides: Stride of the first layer of each stage.
        kernels: Kernel sizes of the depthwise convolutions.
        expands: Expand ratios.
        head_width: Channels before the classifier.
        image_size: Pixels of the square images; for small ones use small strides, stem_stride included.
        channels: Channels of an image.
        classes: Number of outputs.
        dropout: Dropout before the classifier.
    """
    skeleton = Skeleton(
        stem_width=stem_width,
        stem_stride=stem_stride,
        first_width=first_width,
        stage_widths=tuple(stage_widths),
        depths=tuple(depths),
        strides=tuple(strides),
        kernels=tuple(sorted(kernels)),
        expands=tuple(sorted(expands)),
        head_width=head_width,
        image_size=image_size,
        channels=channels,
        classes=classes,
        dropout=dropout,
    )
    return Space(
        name="proxyless",
        decisions=skeleton.decisions(),
        inputs=images(channels, image_size),
        build=skeleton.supernet,
        network=skeleton.network,
        places=skeleton.places,
        formats={("arch",): skeleton.parse},
    )
