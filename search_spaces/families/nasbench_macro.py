"""NAS-Bench-Macro: eight layers in three stages, each a skip or one of two MobileNet blocks.

Paper: Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, arXiv 2103.11922, section 4.
Differs: nothing known of the space. Weights are those of torch's default initialisation. In a supernet every operation
of every layer has weights of its own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.blocks import PixelMean, inverted_residual_cost, plain_conv_norm_act, plain_inverted_residual
from search_spaces.elastic import ElasticChoice, with_shared_norms
from search_spaces.errors import FieldError
from search_spaces.inputs import images
from search_spaces.places import Block, Place, fixed
from search_spaces.sizes import strided
from search_spaces.space import Columns, Space

OPERATIONS = ("identity", "mb3_k3", "mb6_k5")
"""Cheapest first, in the order of the digits of published tables."""
_EXPAND_AND_KERNEL = {"mb3_k3": (3, 3), "mb6_k5": (6, 5)}


@dataclass(frozen=True)
class Layer:
    """One place of the network: its decision, channels, stride and the pixels that enter and leave."""

    name: str
    in_width: int
    out_width: int
    stride: int
    in_pixels: int
    out_pixels: int

    def module(self, operation: str) -> nn.Module:
        """The layer with this operation and fresh weights."""
        if operation == "identity":
            if self.stride == 1:
                return nn.Identity()
            return plain_conv_norm_act(self.in_width, self.out_width, 1, stride=self.stride)
        expand, kernel = _EXPAND_AND_KERNEL[operation]
        widths = (self.in_width, self.in_width * expand, self.out_width)
        return plain_inverted_residual(widths, kernel=kernel, stride=self.stride, activation=nn.ReLU)

    def block(self, operation: str) -> Block | None:
        """The layer with this operation as a block, None for a plain skip."""
        if operation == "identity" and self.stride == 1:
            return None
        shape = (self.in_width, isqrt(self.in_pixels), isqrt(self.in_pixels))
        name = f"{operation} {self.in_width}-{self.out_width} s{self.stride}"
        return Block(name, shape, lambda: self.module(operation))

    def cost(self, operation: str) -> tuple[int, int]:
        """Parameters and MACs of the layer with this operation."""
        if operation == "identity":
            weights = self.in_width * self.out_width if self.stride > 1 else 0
            return weights + (2 * self.out_width if weights else 0), weights * self.out_pixels
        expand, kernel = _EXPAND_AND_KERNEL[operation]
        widths = (self.in_width, self.in_width * expand, self.out_width)
        pixels = (self.in_pixels, self.out_pixels)
        return inverted_residual_cost(widths, pixels, kernel=kernel, squeeze=0, expands=True)


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """The numbers around the choices: every stage begins with stride 2 and twice the channels."""

    width: int
    depths: tuple[int, ...]
    head_width: int
    image_size: int
    channels: int
    classes: int

    def __post_init__(self) -> None:
        for field, least in (("width", 1), ("head_width", 1), ("image_size", 1), ("channels", 1), ("classes", 2)):
            if getattr(self, field) < least:
                raise FieldError(field, f"must be at least {least}, got {getattr(self, field)}")
        if not self.depths or min(self.depths) < 1:
            raise FieldError("depths", f"must be at least one stage of 1 or more layers, got {self.depths}")

    @property
    def layers(self) -> list[Layer]:
        """All layers in order."""
        layers: list[Layer] = []
        width, size = self.width, self.image_size
        for depth in self.depths:
            for first in [True] + [False] * (depth - 1):
                out_width, out_size = (2 * width, strided(size, 2)) if first else (width, size)
                name = f"layer{len(layers) + 1}"
                layers.append(Layer(name, width, out_width, 2 if first else 1, size**2, out_size**2))
                width, size = out_width, out_size
        return layers

    def network(self, architecture: Architecture) -> nn.Module:
        """The network of one architecture with fresh weights."""
        return NASBenchMacroNetwork(self, lambda layer: layer.module(str(architecture[layer.name])))

    def supernet(self) -> nn.Module:
        """The network whose layers follow an architecture, each operation of each with weights of its own."""
        return with_shared_norms(
            NASBenchMacroNetwork(
                self, lambda layer: ElasticChoice(layer.name, {o: layer.module(o) for o in OPERATIONS})
            )
        )

    def places(self) -> list[Place]:
        """Stem, layers, head."""
        layers, size = self.layers, self.image_size
        stem = Block(f"stem {self.channels}-{self.width}", (self.channels, size, size), self.stem)
        width, pixels = layers[-1].out_width, isqrt(layers[-1].out_pixels)
        head = Block(f"head {width}-{self.head_width}-{self.classes}", (width, pixels, pixels), self._head_block)
        return [fixed(stem), *(Place((layer.name,), layer.block) for layer in layers), fixed(head)]

    def stem(self) -> nn.Module:
        """The first convolution."""
        return plain_conv_norm_act(self.channels, self.width, 3, activation=nn.ReLU)

    def head(self) -> tuple[nn.Module, nn.Module]:
        """The last convolution and, behind the mean over pixels, the classifier."""
        last = plain_conv_norm_act(self.layers[-1].out_width, self.head_width, 1, activation=nn.ReLU)
        return last, nn.Linear(self.head_width, self.classes)

    def _head_block(self) -> nn.Module:
        last, classifier = self.head()
        return nn.Sequential(last, PixelMean(), classifier)

    def cost(self, columns: Columns) -> dict[str, np.ndarray]:
        """Exact costs: parameters with batch-norm weights and biases; MACs of convolutions and the classifier."""
        layers = self.layers
        stem, last = 9 * self.channels * self.width, layers[-1]
        head, classifier = last.out_width * self.head_width, self.head_width * self.classes
        fixed = stem + 2 * self.width + head + 2 * self.head_width + classifier + self.classes
        params = np.full(len(columns[last.name]), fixed, dtype=np.int64)
        macs = np.full(len(params), stem * self.image_size**2 + head * last.out_pixels + classifier, dtype=np.int64)
        for layer in layers:
            for operation in OPERATIONS:
                chosen = columns[layer.name] == operation
                layer_params, layer_macs = layer.cost(operation)
                params += chosen * layer_params
                macs += chosen * layer_macs
        return {"params": params, "macs": macs}

    # ---- strings ----------------------------------------------------------------------------------------------------

    def parse(self, digits: str) -> dict[str, Choice]:
        """The decisions of one operation digit a layer, with or without leading ``x``.

        Raises:
            InvalidArchitecture: The digits are not from 0 to 2, or not as many as there are layers.
        """
        count = sum(self.depths)
        if not re.fullmatch(rf"x?[0-2]{{{count}}}", digits.strip()):
            raise InvalidArchitecture(
                f"arch {digits!r} must be {count} digits from 0 to 2, with or without a leading x"
            )
        return {f"layer{i}": OPERATIONS[int(d)] for i, d in enumerate(digits.strip()[-count:], start=1)}


def to_string(architecture: Mapping[str, Choice]) -> str:
    """One operation digit a layer with a leading ``x``, as in published tables."""
    return "x" + "".join(str(OPERATIONS.index(str(architecture[f"layer{i}"]))) for i in range(1, len(architecture) + 1))


def canonical_key(architecture: Mapping[str, Choice], depths: Sequence[int] = (2, 3, 3)) -> str:
    """The digits of the same function with its skips last in every stage; 3,969 distinct ones in the published space.

    The first layer of a stage changes the shape and stays where it is.
    """
    digits, key = to_string(architecture)[1:], "x"
    for depth in depths:
        stage, digits = digits[:depth], digits[depth:]
        key += stage[0] + stage[1:].replace("0", "").ljust(depth - 1, "0")
    return key


class NASBenchMacroNetwork(nn.Module):
    """Stem, layers, head; images [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, skeleton: Skeleton, made: Callable[[Layer], nn.Module]) -> None:
        super().__init__()
        layers = skeleton.layers
        self.stem = skeleton.stem()
        self.layers = nn.Sequential()
        for layer in layers:
            self.layers.add_module(layer.name, made(layer))
        self.head, self.classifier = skeleton.head()

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.head(self.layers(self.stem(x))).mean((2, 3)))

    def blocks(self) -> list[nn.Module]:
        """The modules whose outputs are the successive feature maps: stem and the layers that are no plain skip."""
        return [self.stem, *(layer for layer in self.layers if not isinstance(layer, nn.Identity))]


def nasbench_macro(
    *,
    width: int = 32,
    depths: Sequence[int] = (2, 3, 3),
    head_width: int = 1280,
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
) -> Space:
    """The published space of 6,561 architectures.

    Args:
        width: Channels of the stem; every stage doubles them.
        depths: Layers of each stage.
        head_width: Channels before the classifier.
        image_size: Pixels of the square images.
        channels: Channels of an image.
        classes: Number of outputs.
    """
    skeleton = Skeleton(
        width=width,
        depths=tuple(depths),
        head_width=head_width,
        image_size=image_size,
        channels=channels,
        classes=classes,
    )
    return Space(
        name="nasbench_macro",
        decisions=tuple(Decision(layer.name, OPERATIONS) for layer in skeleton.layers),
        inputs=images(channels, image_size),
        classes=classes,
        build=skeleton.supernet,
        cost=skeleton.cost,
        network=skeleton.network,
        places=skeleton.places,
        formats={("arch",): skeleton.parse},
    )
