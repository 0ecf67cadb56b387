"""NAS-Bench-Macro: eight layers in three stages, each a skip or one of two MobileNet blocks.

Paper: Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, arXiv 2103.11922, section 4.
Differs: nothing known of the space. Weights are those of torch's default initialisation. In a supernet every operation
of every layer has weights of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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

OPERATIONS = ("identity", "mb3_k3", "mb6_k5")
"""Cheapest first, in the order of the digits of published tables."""
_EXPAND_AND_KERNEL = {"mb3_k3": (3, 3), "mb6_k5": (6, 5)}

_MOST = {"width": MOST_CHANNELS, "depths": MOST_LAYERS, "head_width": MOST_CHANNELS, **MOST_OF_IMAGES}
_MOST_STAGES = 8  # each doubles the channels


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
        """Return the layer with this operation and fresh weights."""
        from torch import nn

        from search_spaces.blocks import plain_conv_norm_act, plain_inverted_residual

        if operation == "identity":
            if self.stride == 1:
                return nn.Identity()
            return plain_conv_norm_act(self.in_width, self.out_width, 1, stride=self.stride)
        widths, kernel = self._widths_and_kernel(operation)
        return plain_inverted_residual(widths, kernel=kernel, stride=self.stride, activation=nn.ReLU)

    def block(self, operation: str) -> Block | None:
        """Return the layer with this operation as a block, None for a plain skip."""
        if operation == "identity" and self.stride == 1:
            return None
        shape = (self.in_width, isqrt(self.in_pixels), isqrt(self.in_pixels))
        name = f"{operation} {self.in_width}-{self.out_width} s{self.stride}"
        return Block(name, shape, partial(self.module, operation), partial(self._count, operation))

    def _count(self, operation: str) -> Counter[str]:
        if operation == "identity":
            return costs.conv_norm(self.in_width, self.out_width, pixels=self.out_pixels)
        widths, kernel = self._widths_and_kernel(operation)
        return costs.inverted_residual(widths, (self.in_pixels, self.out_pixels), kernel=kernel)

    def _widths_and_kernel(self, operation: str) -> tuple[tuple[int, int, int], int]:
        expand, kernel = _EXPAND_AND_KERNEL[operation]
        return (self.in_width, self.in_width * expand, self.out_width), kernel


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
        check_most(self, _MOST)
        for field, least in (("width", 1), ("head_width", 1), ("image_size", 1), ("channels", 1), ("classes", 2)):
            if getattr(self, field) < least:
                raise FieldError(field, f"must be at least {least}, got {getattr(self, field)}")
        if not 1 <= len(self.depths) <= _MOST_STAGES or min(self.depths) < 1:
            allowed = f"1 to {_MOST_STAGES} stages of 1 or more layers"
            raise FieldError("depths", f"must be {allowed}, got {self.depths}")

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
        """Return the network of one architecture with fresh weights."""
        return self._network(lambda layer: layer.module(str(architecture[layer.name])))

    def supernet(self) -> nn.Module:
        """Return the network whose layers follow an architecture, each operation of each with weights of its own."""
        from search_spaces.elastic import ElasticChoice, with_shared_norms

        return with_shared_norms(
            self._network(lambda layer: ElasticChoice(layer.name, {o: layer.module(o) for o in OPERATIONS}))
        )

    def _network(self, made: Callable[[Layer], nn.Module]) -> nn.Module:
        from search_spaces.networks.nasbench_macro_network import NASBenchMacroNetwork

        return NASBenchMacroNetwork(self.stem(), {layer.name: made(layer) for layer in self.layers}, *self.head())

    def places(self) -> list[Place]:
        """Return the places of stem, layers and head."""
        layers, size = self.layers, self.image_size
        stem_count = partial(costs.conv_norm, self.channels, self.width, 3, pixels=size**2)
        stem = Block(f"stem {self.channels}-{self.width}", (self.channels, size, size), self.stem, stem_count)
        width, pixels = layers[-1].out_width, isqrt(layers[-1].out_pixels)
        name = f"head {width}-{self.head_width}-{self.classes}"
        head = Block(name, (width, pixels, pixels), self._head_block, self._head_count)
        return [fixed(stem), *(Place((layer.name,), layer.block) for layer in layers), fixed(head)]

    def stem(self) -> nn.Module:
        """Return the first convolution."""
        from torch import nn

        from search_spaces.blocks import plain_conv_norm_act

        return plain_conv_norm_act(self.channels, self.width, 3, activation=nn.ReLU)

    def head(self) -> tuple[nn.Module, nn.Module]:
        """Return the last convolution and, behind the mean over pixels, the classifier."""
        from torch import nn

        from search_spaces.blocks import plain_conv_norm_act

        last = plain_conv_norm_act(self.layers[-1].out_width, self.head_width, 1, activation=nn.ReLU)
        return last, nn.Linear(self.head_width, self.classes)

    def _head_block(self) -> nn.Module:
        from torch import nn

        from search_spaces.blocks import PixelMean

        last, classifier = self.head()
        return nn.Sequential(last, PixelMean(), classifier)

    def _head_count(self) -> Counter[str]:
        last = self.layers[-1]
        classifier = costs.linear(self.head_width, self.classes)
        return costs.conv_norm(last.out_width, self.head_width, pixels=last.out_pixels) + classifier

    # ---- strings ----------------------------------------------------------------------------------------------------

    def parse(self, digits: str) -> dict[str, Choice]:
        """Return the decisions of one operation digit a layer, with or without leading ``x``.

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
    """Return one operation digit a layer with a leading ``x``, as in published tables."""
    return "x" + "".join(str(OPERATIONS.index(str(architecture[f"layer{i}"]))) for i in range(1, len(architecture) + 1))


def canonical_key(architecture: Mapping[str, Choice], depths: Sequence[int] = (2, 3, 3)) -> str:
    """Return the digits of the same function with its skips last in every stage; 3,969 are distinct.

    The first layer of a stage changes the shape and stays where it is.
    """
    digits, key = to_string(architecture)[1:], "x"
    for depth in depths:
        stage, digits = digits[:depth], digits[depth:]
        key += stage[0] + stage[1:].replace("0", "").ljust(depth - 1, "0")
    return key


def nasbench_macro(
    *,
    width: int = 32,
    depths: Sequence[int] = (2, 3, 3),
    head_width: int = 1280,
    image_size: int = 32,
    channels: int = 3,
    classes: int = 10,
) -> Space:
    """Return the published space of 6,561 architectures.

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
        build=skeleton.supernet,
        network=skeleton.network,
        places=skeleton.places,
        formats={("arch",): skeleton.parse},
    )
