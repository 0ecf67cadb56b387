"""ProxylessNAS: a MobileNetV2-like backbone, every layer of which is one of six MobileNet blocks or a skip.

Paper: Cai et al., ProxylessNAS, arXiv 1812.00332, section 4.2.
Differs: nothing known of the space; the released networks have the parameters that it gives them. Weights are those of
torch's default initialisation. In a supernet every operation of every layer has weights of its own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isqrt

import numpy as np
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.blocks import (
    ConvNormAct,
    PixelMean,
    inverted_residual_cost,
    plain_conv_norm_act,
    plain_inverted_residual,
)
from search_spaces.elastic import ElasticChoice, with_shared_norms
from search_spaces.errors import FieldError
from search_spaces.inputs import images
from search_spaces.places import Block, Place, fixed
from search_spaces.sizes import strided
from search_spaces.space import Columns, Space

SKIP = "skip"
KERNELS = (3, 5, 7)
EXPANDS = (3, 6)
_NORM_EPS = 1e-3
_MOST_BLOCKS = 9


def operations(kernels: Sequence[int] = KERNELS, expands: Sequence[int] = EXPANDS) -> tuple[str, ...]:
    """The operations in the order of the digits of strings: the skip, then by expand ratio and kernel size."""
    return (SKIP, *(f"mb{expand}_k{kernel}" for expand in sorted(expands) for kernel in sorted(kernels)))


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
        """The layer with this operation and fresh weights."""
        if operation == SKIP:
            return nn.Identity()
        expand, kernel = _expand_and_kernel(operation)
        widths = (self.in_width, self.in_width * expand, self.out_width)
        return plain_inverted_residual(
            widths, kernel=kernel, stride=self.stride, activation=nn.ReLU6, expands=expand > 1
        )

    def block(self, operation: str) -> Block | None:
        """The layer with this operation as a block, None for a plain skip."""
        if operation == SKIP:
            return None
        shape = (self.in_width, isqrt(self.in_pixels), isqrt(self.in_pixels))
        name = f"{operation} {self.in_width}-{self.out_width} s{self.stride}"
        return Block(name, shape, lambda: self.module(operation))

    def cost(self, operation: str) -> tuple[int, int]:
        """Parameters and MACs of the layer with this operation."""
        if operation == SKIP:
            return 0, 0
        expand, kernel = _expand_and_kernel(operation)
        widths = (self.in_width, self.in_width * expand, self.out_width)
        pixels = (self.in_pixels, self.out_pixels)
        return inverted_residual_cost(widths, pixels, kernel=kernel, squeeze=0, expands=expand > 1)

    def choices(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of these operations that can stand here, cheapest first: wide blocks cost more than large kernels
        unless channels are few."""
        possible = [name for name in names if name != SKIP or self.keeps_shape]
        return tuple(sorted(possible, key=lambda name: self.cost(name)[::-1]))


def _expand_and_kernel(operation: str) -> tuple[int, int]:
    expand, kernel = operation.removeprefix("mb").split("_k")
    return int(expand), int(kernel)


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
        """One for every layer."""
        return tuple(Decision(layer.name, layer.choices(self.operations)) for layer in self.layers)

    def network(self, architecture: Architecture) -> nn.Module:
        """The network of one architecture with fresh weights."""
        return ProxylessNetwork(self, lambda layer: layer.module(str(architecture[layer.name])))

    def supernet(self) -> nn.Module:
        """The network whose layers follow an architecture, each operation of each with weights of its own."""

        def made(layer: Layer) -> nn.Module:
            return ElasticChoice(layer.name, {name: layer.module(name) for name in layer.choices(self.operations)})

        return with_shared_norms(ProxylessNetwork(self, made))

    def places(self) -> list[Place]:
        """Stem, first block, layers, head."""
        size, pixels = self.image_size, isqrt(self.layers[-1].out_pixels)
        name = f"stem {self.channels}-{self.stem_width} s{self.stem_stride}"
        stem = Block(name, (self.channels, size, size), self.stem)
        width = self.stage_widths[-1]
        head = Block(f"head {width}-{self.head_width}-{self.classes}", (width, pixels, pixels), self._head_block)
        first = Place((), lambda: self.first.block("mb1_k3"))
        return [fixed(stem), first, *(Place((layer.name,), layer.block) for layer in self.layers), fixed(head)]

    def stem(self) -> ConvNormAct:
        """The first convolution."""
        widths = (self.channels, self.stem_width)
        return plain_conv_norm_act(*widths, 3, stride=self.stem_stride, activation=nn.ReLU6)

    def head(self) -> tuple[ConvNormAct, nn.Linear]:
        """The last convolution and, behind the mean over pixels, the classifier."""
        last = plain_conv_norm_act(self.stage_widths[-1], self.head_width, 1, activation=nn.ReLU6)
        return last, nn.Linear(self.head_width, self.classes)

    def _head_block(self) -> nn.Module:
        last, classifier = self.head()
        return nn.Sequential(last, PixelMean(), classifier)

    def cost(self, columns: Columns) -> dict[str, np.ndarray]:
        """Exact costs: parameters with batch-norm weights and biases; MACs of convolutions and the classifier."""
        layers = self.layers
        params, macs = self._fixed_cost(layers[-1])
        total = np.tile(np.array((params, macs), dtype=np.int64), (len(columns[layers[0].name]), 1))
        for layer in layers:
            for name in layer.choices(self.operations):
                chosen = columns[layer.name] == name
                total += chosen[:, None] * np.array(layer.cost(name), dtype=np.int64)
        return {"params": total[:, 0], "macs": total[:, 1]}

    def _fixed_cost(self, last: Layer) -> tuple[int, int]:
        """Parameters and MACs of what every architecture has: stem, first block and head."""
        stem, head = 9 * self.channels * self.stem_width, last.out_width * self.head_width
        classifier = self.head_width * self.classes
        first_params, first_macs = self.first.cost("mb1_k3")
        params = stem + 2 * self.stem_width + first_params + head + 2 * self.head_width + classifier + self.classes
        return params, stem * self.first.in_pixels + first_macs + head * last.out_pixels + classifier

    def parse(self, digits: str) -> dict[str, Choice]:
        """The decisions of one operation digit a layer; see `to_string`.

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
    """One operation digit a layer with a leading ``x``: 0 is the skip, 1 to 3 are kernels 3, 5, 7 with expand ratio 3,
    4 to 6 those with ratio 6; with other `kernels` and `expands` likewise."""
    names = operations(kernels, expands)
    layers = sorted(architecture, key=lambda layer: [int(number) for number in re.findall(r"\d+", layer)])
    return "x" + "".join(str(names.index(str(architecture[layer]))) for layer in layers)


class ProxylessNetwork(nn.Module):
    """Stem, first block, stages, head; images [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, skeleton: Skeleton, made: Callable[[Layer], nn.Module]) -> None:
        super().__init__()
        self.stem = skeleton.stem()
        self.first = skeleton.first.module("mb1_k3")
        self.stages = nn.Sequential(*(nn.Sequential(*(made(layer) for layer in stage)) for stage in skeleton.stages))
        self.head, classifier = skeleton.head()
        self.dropout = nn.Dropout(skeleton.dropout)
        self.classifier = classifier
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = _NORM_EPS

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.stages(self.first(self.stem(x))))
        return self.classifier(self.dropout(x.mean((2, 3))))

    def blocks(self) -> list[nn.Module]:
        """The modules whose outputs are the successive feature maps: stem and the blocks that are no skip."""
        stages = (stage for stage in self.stages if isinstance(stage, nn.Sequential))
        return [self.stem, self.first, *(b for stage in stages for b in stage if not isinstance(b, nn.Identity))]


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
    """The published space of 6^6 x 7^15 architectures: six blocks in every layer, and a skip where it keeps the shape.

    Rows of tables name an architecture by one digit a layer (`arch`, see `to_string`) or as JSON.

    Args:
        stem_width, stem_stride, first_width: Of the stem and of the first, fixed block.
        stage_widths: Output channels of each stage; their number is the number of stages.
        depths: Layers of each stage.
        strides: Stride of the first layer of each stage.
        kernels: Kernel sizes of the depthwise convolutions.
        expands: Expand ratios.
        head_width: Channels before the classifier.
        image_size: Pixels of the square images; for small ones use small strides, stem_stride included.
        channels: Channels of an image.
        classes: Number of outputs.
        dropout: Before the classifier.
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
        classes=classes,
        build=skeleton.supernet,
        cost=skeleton.cost,
        network=skeleton.network,
        places=skeleton.places,
        formats={("arch",): skeleton.parse},
    )
