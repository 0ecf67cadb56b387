"""The convolutional toy space of TangleNAS: four convolutions whose widths and kernel sizes are free.

Paper: Sukthanker et al., Weight-Entanglement Meets Gradient-Based Neural Architecture Search, AutoML-Conf 2024 (PMLR
v256), toy macro space; its table holds CIFAR-10 accuracies of all 6,561 architectures.
Differs: weights are those of torch's default initialisation. The published accuracies were read with dropout on, and 14
trainings failed at exactly 10 %: networks trained by other code are not comparable with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import isqrt

import numpy as np
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Decision, InvalidArchitecture
from search_spaces.errors import FieldError
from search_spaces.inputs import images
from search_spaces.places import Block, Place, fixed
from search_spaces.space import Columns, Space

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


def _convolution(i: int, width: int, out_width: int, kernel: int) -> nn.Sequential:
    """One of the four convolutions with what follows it."""
    block = nn.Sequential(nn.Conv2d(width, out_width, kernel, padding=kernel // 2), nn.ReLU())
    if i in _POOLED:
        block.append(nn.MaxPool2d(2))
    if i == _POOLED[-1]:
        block.append(nn.Dropout2d(0.5))
    return block


def _last_convolution(width: int) -> nn.Sequential:
    last = nn.Conv2d(width, LAST_WIDTH, LAST_KERNEL, padding=LAST_PADDING)
    return nn.Sequential(last, nn.ReLU(), nn.Dropout2d(0.5))


class ConvMacroNetwork(nn.Module):
    """Five convolutions and four linear layers; images [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, skeleton: "Skeleton", architecture: Mapping[str, Choice]) -> None:
        super().__init__()
        self.features = nn.Sequential()
        width = skeleton.channels
        for i in range(1, 5):
            out_width, kernel = int(architecture[f"conv{i}.width"]), int(architecture[f"conv{i}.kernel"])
            self.features.append(_convolution(i, width, out_width, kernel))
            width = out_width
        self.features.append(_last_convolution(width))
        self.hidden, self.classifier = skeleton.head()

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(self.features(x).flatten(1)))

    def blocks(self) -> list[nn.Module]:
        """The modules whose outputs are the successive feature maps: the convolutions with what follows each."""
        return list(self.features)


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """What no decision changes."""

    image_size: int
    channels: int
    classes: int

    def __post_init__(self) -> None:
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

    def head(self) -> tuple[nn.Sequential, nn.Linear]:
        """The hidden linear layers and the classifier."""
        hidden = nn.Sequential()
        for before, after in pairwise([LAST_WIDTH * self.last_pixels, *HIDDEN]):
            hidden.extend([nn.Linear(before, after), nn.ReLU()])
        return hidden, nn.Linear(HIDDEN[-1], self.classes)

    def places(self) -> list[Place]:
        """The four convolutions, the last one, head."""
        places = [Place(("conv1.width", "conv1.kernel"), partial(self._block, 1, self.channels))]
        for i in range(2, 5):
            decisions = (f"conv{i - 1}.width", f"conv{i}.width", f"conv{i}.kernel")
            places.append(Place(decisions, partial(self._block, i)))
        shape = (LAST_WIDTH, isqrt(self.last_pixels), isqrt(self.last_pixels))
        head = Block(f"head {self.classes}", shape, lambda: nn.Sequential(nn.Flatten(), *self.head()))
        return [*places, Place(("conv4.width",), self._last_block), fixed(head)]

    def _block(self, i: int, width: int, out_width: int, kernel: int) -> Block:
        size = self.sizes[i - 1]
        name = f"conv {width}-{out_width} k{kernel}{' pool' if i in _POOLED else ''}"
        return Block(name, (width, size, size), lambda: _convolution(i, width, out_width, kernel))

    def _last_block(self, width: int) -> Block:
        size = self.image_size // 4
        return Block(f"last {width}-{LAST_WIDTH}", (width, size, size), lambda: _last_convolution(width))

    def network(self, architecture: Architecture) -> nn.Module:
        """The network of one architecture with fresh weights."""
        return ConvMacroNetwork(self, architecture)

    def cost(self, columns: Columns) -> dict[str, np.ndarray]:
        """Exact costs: parameters with biases; MACs of convolutions and linear layers."""
        sizes = [LAST_WIDTH * self.last_pixels, *HIDDEN, self.classes]
        linear = sum(before * after for before, after in pairwise(sizes))
        first = np.asarray(columns["conv1.width"])
        params = np.full(len(first), linear + sum(sizes[1:]), dtype=np.int64)
        macs = np.full(len(first), linear, dtype=np.int64)
        width: np.ndarray = np.full(len(first), self.channels, dtype=np.int64)
        for i, size in enumerate(self.sizes, start=1):
            out_width = columns[f"conv{i}.width"].astype(np.int64)
            weights = width * out_width * columns[f"conv{i}.kernel"].astype(np.int64) ** 2
            params, macs, width = params + weights + out_width, macs + weights * size**2, out_width
        weights = width * LAST_WIDTH * LAST_KERNEL**2
        return {"params": params + weights + LAST_WIDTH, "macs": macs + weights * self.last_pixels}


def conv_macro(*, image_size: int = 32, channels: int = 3, classes: int = 10) -> Space:
    """The published space of 6,561 architectures.

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
        classes=classes,
        cost=skeleton.cost,
        network=skeleton.network,
        places=skeleton.places,
        formats={_COLUMNS: _parse},
    )
