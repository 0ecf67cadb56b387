"""Small networks of the tests, as a user writes them."""

import torch
from torch import Tensor, nn


class Mix(nn.Module):
    """x + point(relu(norm(depth(x)))), a block that can be skipped."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depth = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.norm, self.act = nn.BatchNorm2d(width), nn.ReLU()
        self.up, self.down = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.act(self.up(self.norm(self.depth(x)))))


class Attention(nn.Module):
    """x + attention(x) over pixels, with heads of 8 channels."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * 8 * heads), nn.Linear(8 * heads, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        qkv = self.qkv(self.norm(tokens)).reshape(batch, height * width, 3, self.heads, 8)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (query @ key.transpose(-2, -1) * 8**-0.5).softmax(-1)
        mixed = self.proj((weights @ value).transpose(1, 2).reshape(batch, height * width, 8 * self.heads))
        return x + mixed.transpose(1, 2).reshape(batch, channels, height, width)


class Small(nn.Module):
    """A stem, two stages, and a classifier."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.stages = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(16, 24, 2, 2), Mix(24, 5), Mix(24, 3), Mix(24, 5)),
                nn.Sequential(nn.Conv2d(24, 32, 2, 2), Attention(32, 3), Mix(32, 7)),
            ]
        )
        self.head = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean((2, 3)))


def small(classes: int, channels: int) -> nn.Module:
    """Return a classifier for images of any size from 8 pixels on."""
    return Small(classes, channels)


class Pyramid(nn.Module):
    """A network that gives two feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.first(x)
        return [x, self.second(x)]


def pyramid() -> nn.Module:
    return Pyramid()


def flat(classes: int) -> nn.Module:
    """Return a classifier of images of 17 pixels alone, which is no usual size."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 17 * 17, 64), nn.ReLU(), nn.Linear(64, classes))


def from_48_pixels(image_size: int, classes: int) -> nn.Module:
    """Return a classifier of images of 48 or 64 pixels."""
    side = image_size if image_size in (48, 64) else 17
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * side**2, 64), nn.ReLU(), nn.Linear(64, classes))


def text() -> str:
    return "no network"


def broken() -> nn.Module:
    raise KeyError("weights")


def needs_depth(classes: int, depth: int) -> nn.Module:
    raise AssertionError(classes, depth)


class Fixed(nn.Module):
    """A network of which nothing can be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(3, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.only(torch.relu(x.mean((2, 3))))


def fixed() -> nn.Module:
    return Fixed()


class Flipped(nn.Module):
    """A network with an operation that depends on the order of channels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.point, self.head = nn.Conv2d(3, 16, 1), nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.point(x).relu().mean((2, 3))
        return self.head(x + x.flip(1))


def flipped(classes: int) -> nn.Module:
    return Flipped(classes)


class Branching(nn.Module):
    """A network whose steps depend on the values of its input."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3))
        if x.mean() > 0:
            x = 2 * x
        return self.head(x)


def branching(classes: int) -> nn.Module:
    return Branching(classes)
