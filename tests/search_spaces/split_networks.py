"""A small network with shortcuts, and the space that cuts it; tests that share it share its trace."""

from functools import cache
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import Space
from search_spaces.families.split import split


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int, out_width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out_width, 3, stride, 1, bias=False)
        self.norm1, self.act1 = nn.BatchNorm2d(out_width), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_width, out_width, 3, 1, 1)
        same = stride == 1 and width == out_width
        self.shortcut = nn.Identity() if same else nn.Conv2d(width, out_width, 1, stride)
        self.act2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act2(self.conv2(self.act1(self.norm1(self.conv1(x)))) + self.shortcut(x))


class Residual(nn.Module):
    """A stem, three stages of blocks, a classifier; images of 16 pixels."""

    def __init__(self, classes: int = 4, channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, 1, 1)
        self.layer1 = nn.Sequential(Block(8, 8, 2), Block(8, 8))
        self.layer2 = nn.Sequential(Block(8, 16, 2))
        self.layer3 = nn.Sequential(Block(16, 32, 2))
        self.fc = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.layer3(self.layer2(self.layer1(self.stem(x))))).mean((2, 3)))


def residual(target: str, offered: dict[str, Any]) -> nn.Module:
    return Residual(offered["classes"], offered["channels"])


@cache
def residual_space(encoder: Any = "slimmable", bits: tuple[int, ...] = (2, 8, 32), **more: Any) -> Space:
    """Return the space that cuts `Residual` behind its first stages; equal arguments give the same space."""
    small: dict[str, Any] = {"classes": 4, "channels": 1, "image_size": 16, "encoder_width": 8, "bottlenecks": (1, 3)}
    return split(model="tests:residual", call_own=residual, encoder=encoder, bits=bits, **{**small, **more})
