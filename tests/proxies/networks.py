"""Small networks with every kind of layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxies import Batch


class Residual(nn.Module):
    """Two convolutions and a shortcut; the ReLU is used twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.first_norm(self.first(x)))
        return self.relu(x + self.second_norm(self.second(out)))


class Attention(nn.Module):
    """Tokens of patches, one attention block with linear layers on [B, T, C]."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, stride=4)
        self.qkv = nn.Linear(12, 36)
        self.out = nn.Linear(12, 12)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(tokens).chunk(3, -1)
        tokens = tokens + self.out(nn.functional.scaled_dot_product_attention(q, k, v))
        return self.head(tokens.mean(1))


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    )  # fmt: skip


def strided() -> nn.Module:
    """Strides, dilations, uneven kernels and padding, groups, depthwise with and without multiplier."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8), nn.Hardswish(),
        nn.Conv2d(8, 12, (3, 1), padding=(0, 1), dilation=(2, 1), groups=4, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 24, 3, padding=1, groups=12), nn.ReLU(),
        nn.Conv2d(24, 24, 3, stride=3, padding=1, groups=24), nn.ReLU(),
        nn.Conv2d(24, 8, 2, padding=1, stride=(1, 2)), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), Residual(8), Residual(8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 4),
    )  # fmt: skip


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 10), nn.ReLU(), nn.Linear(10, 4))


NETWORKS = {"plain": plain, "strided": strided, "residual": residual, "perceptron": perceptron, "attention": Attention}


def network(name: str, seed: int = 0) -> nn.Module:
    """A network with weights of its own seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NETWORKS[name]()


def batch(n: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images [n, 3, 12, 12] and labels of 4 classes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 12, 12, generator=generator), torch.randint(0, 4, (n,), generator=generator)


def classified(images: Tensor, labels: Tensor) -> Batch:
    """What a classifier of images is scored on: cross-entropy, and the classes as groups."""

    def losses(output: Tensor, rows: slice) -> Tensor:
        return F.cross_entropy(output, labels[rows].to(output.device, torch.int64), reduction="none")

    return Batch((images,), losses, groups=labels)


def regressed(features: Tensor, targets: Tensor) -> Batch:
    """What a regression on vectors is scored on: squared errors, no groups."""
    return Batch((features,), lambda output, rows: (output - targets[rows]).square().flatten(1).mean(1))
