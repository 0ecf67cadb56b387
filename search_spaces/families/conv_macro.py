"""The convolutional toy space of TangleNAS: four convolutions whose widths and kernel sizes are free.

Paper: Sukthanker et al., Weight-Entanglement Meets Gradient-Based Neural Architecture Search, AutoML-Conf 2024 (PMLR
v256), toy macro space; its table holds CIFAR-10 accuracies of all 6,561 architectures.
Differs: weights are those of torch's default initialisation. The published accuracies were read with dropout on, and 14
trainings failed at exactly 10 %: networks trained by other code are not comparable with them. Smaller kernels of a
supernet are the centres of the largest; where the released code does not mix, it takes the top left corner.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import isqrt
from typing import TYPE_CHECKING

from search_spaces import costs
from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.errors import FieldError
from search_spaces.inputs import images
from search_spaces.limits import MOST_OF_IMAGES, check_most
from search_spaces.places import Block, Place, fixed
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

WIDTHS = ((8, 16, 32), (16, 32, 64), (32, 64, 128), (64, 128, 256))
"""Choices of the channels of each convolution."""
KERNELS = (3, 5, 7)
LAST_WIDTH, LAST_KERNEL, LAST_PADDING = 256, 7, 2
HIDDEN = (256, 128, 64)
"""Units of the linear layers before the classifier."""
_POOLED = (2, 3)
_COLUMNS = ("c1", "c2", "c3", "c4", "k1", "k2", "k3", "k4")


def _parse(*texts: str) -> dict[str, Choice]:
    try:
        numbers = [int(text) for text in texts]
    except ValueError:
        raise InvalidArchitecture(f"{', '.join(_COLUMNS)} must be whole numbers, got {', '.join(texts)}") from None
    names = [f"conv{i}.width" for i in range(1, 5)] + [f"conv{i}.kernel" for i in range(1, 5)]
    return dict(zip(names, numbers))


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """The fixed numbers of the network, which no decision changes."""

    image_size: int
    channels: int
    classes: int

    def __post_init__(self) -> None:
        check_most(self, MOST_OF_IMAGES)
        for field, least in (("image_size", 12), ("channels", 1), ("classes", 2)):
            if getattr(self, field) < least:
                raise FieldError(field, f"must be at least {least}, got {getattr(self, field)}")

    @property
    def last_pixels(self) -> int:
        """Pixels of the last feature map."""
        return (self.image_size // 4 + 2 * LAST_PADDING - LAST_KERNEL + 1) ** 2

    @property
    def sizes(self) -> tuple[int, ...]:
        """Pixels of one side of what enters each of the four convolutions."""
        return (self.image_size, self.image_size, self.image_size // 2, self.image_size // 4)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        """Features that enter each linear layer, and those that leave the last."""
        return (LAST_WIDTH * self.last_pixels, *HIDDEN, self.classes)

    def network(self, architecture: Architecture) -> nn.Module:
        """Return the network of one architecture with fresh weights."""
        from search_spaces.networks.conv_macro_network import ConvMacroNetwork, head

        features = []
        width = self.channels
        for i in range(1, 5):
            out_width = int(architecture[f"conv{i}.width"])
            features.append(_convolution(i, width, out_width, int(architecture[f"conv{i}.kernel"])))
            width = out_width
        features.append(_last_convolution(width))
        return ConvMacroNetwork(features, *head(self.head_sizes))

    def supernet(self) -> nn.Module:
        """Return the network of all architectures; narrower ones have the first channels, smaller kernels the
        centre.
        """
        from torch import nn

        from search_spaces.elastic import AnySize, CroppedConv2d, Size
        from search_spaces.networks.conv_macro_network import ConvMacroNetwork, followed, head

        features: list[nn.Module] = []
        width: AnySize = self.channels
        before = self.channels
        for i, choices in enumerate(WIDTHS, start=1):
            out_width = Size(f"conv{i}.width", {choice: choice for choice in choices})
            kernel = Size(f"conv{i}.kernel", {choice: choice for choice in KERNELS})
            plain = nn.Conv2d(before, choices[-1], KERNELS[-1], padding=KERNELS[-1] // 2)
            convolution = CroppedConv2d(plain, in_size=width, out_size=out_width, kernel=kernel)
            features.append(followed(convolution, pooled=i in _POOLED, dropped=i == _POOLED[-1]))
            width, before = out_width, choices[-1]
        last = nn.Conv2d(before, LAST_WIDTH, LAST_KERNEL, padding=LAST_PADDING)
        features.append(followed(CroppedConv2d(last, in_size=width), dropped=True))
        return ConvMacroNetwork(features, *head(self.head_sizes))

    def places(self) -> list[Place]:
        """Return the places of the four convolutions, the last one and the head."""
        places = [Place(("conv1.width", "conv1.kernel"), partial(self._block, 1, self.channels))]
        for i in range(2, 5):
            decisions = (f"conv{i - 1}.width", f"conv{i}.width", f"conv{i}.kernel")
            places.append(Place(decisions, partial(self._block, i)))
        shape = (LAST_WIDTH, isqrt(self.last_pixels), isqrt(self.last_pixels))
        head = Block(f"head {self.classes}", shape, partial(_head, self.head_sizes), self._head_count)
        return [*places, Place(("conv4.width",), self._last_block), fixed(head)]

    def _block(self, i: int, width: int, out_width: int, kernel: int) -> Block:
        size = self.sizes[i - 1]
        return Block(
            f"conv {width}-{out_width} k{kernel}{' pool' if i in _POOLED else ''}",
            (width, size, size),
            partial(_convolution, i, width, out_width, kernel),
            partial(costs.convolution, width, out_width, kernel, pixels=size**2, bias=True),
        )

    def _last_block(self, width: int) -> Block:
        size = self.image_size // 4
        return Block(
            f"last {width}-{LAST_WIDTH}",
            (width, size, size),
            partial(_last_convolution, width),
            partial(costs.convolution, width, LAST_WIDTH, LAST_KERNEL, pixels=self.last_pixels, bias=True),
        )

    def _head_count(self) -> Counter[str]:
        return sum((costs.linear(*sizes) for sizes in pairwise(self.head_sizes)), Counter())


def _convolution(i: int, width: int, out_width: int, kernel: int) -> nn.Module:
    """Return one of the four convolutions with what follows it."""
    from search_spaces.networks.conv_macro_network import convolution

    pooled, dropped = i in _POOLED, i == _POOLED[-1]
    return convolution(width, out_width, kernel, padding=kernel // 2, pooled=pooled, dropped=dropped)


def _last_convolution(width: int) -> nn.Module:
    from search_spaces.networks.conv_macro_network import convolution

    return convolution(width, LAST_WIDTH, LAST_KERNEL, padding=LAST_PADDING, dropped=True)


def _head(sizes: Sequence[int]) -> nn.Module:
    from torch import nn

    from search_spaces.networks.conv_macro_network import head

    return nn.Sequential(nn.Flatten(), *head(sizes))


def conv_macro(*, image_size: int = 32, channels: int = 3, classes: int = 10) -> Space:
    """Return the published space of 6,561 architectures.

    Args:
        image_size: Pixels of the square images, at least 12.
        channels: Channels of an image.
        classes: Number of outputs.
    """
    skeleton = Skeleton(image_size=image_size, channels=channels, classes=classes)
    widths = [Decision(f"conv{i}.width", choices) for i, choices in enumerate(WIDTHS, start=1)]
    kernels = [Decision(f"conv{i}.kernel", KERNELS) for i in range(1, 5)]
    return Space(
        name="conv_macro",
        decisions=(*widths, *kernels),
        inputs=images(channels, image_size),
        build=skeleton.supernet,
        network=skeleton.network,
        places=skeleton.places,
        formats={_COLUMNS: _parse},
    )
