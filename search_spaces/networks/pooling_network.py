"""The ResNets whose poolings are free, see `search_spaces.families.pooling`."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """A residual block without stride, [B, C, H, W] -> [B, C', H, W]: ReLU follows the sum."""

    def __init__(self, main: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.main, self.shortcut = main, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


class PoolingNetwork(nn.Module):
    """Stem, blocks with poolings between them, classifier; images [B, C, H, W] -> logits [B, classes].

    Args:
        stem: What stands before all blocks.
        blocks: Residual blocks.
        pools: What stands before a block, by its number from 1.
        width: Channels of the last block.
        classes: Number of outputs.
    """

    def __init__(
        self, stem: nn.Module, blocks: Sequence[nn.Module], pools: Mapping[int, nn.Module], width: int, classes: int
    ) -> None:
        super().__init__()
        self.stem = stem
        self.layers = nn.Sequential()
        for number, block in enumerate(blocks, start=1):
            if number in pools:
                self.layers.add_module(f"pool{number}", pools[number])
            self.layers.add_module(f"block{number}", block)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.layers(self.stem(x)).mean((2, 3)))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive feature maps."""
        return [self.stem, *(layer for layer in self.layers if isinstance(layer, Residual))]


def stem(channels: int, width: int, kernel: int, stride: int, *, pooled: bool) -> nn.Module:
    """Return the layers before the first block, [B, channels, H, W] -> [B, width, H', W']."""
    layers = [*_convolved(channels, width, kernel, stride=stride), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(3, stride=2, padding=1)] if pooled else []))


def residual_block(in_width: int, inner: int, width: int) -> nn.Module:
    """Return a block of two 3x3 convolutions, or of 1x1, 3x3 and 1x1 where fewer channels are inside."""
    if inner == width:
        layers = [*_convolved(in_width, width, 3), nn.ReLU(), *_convolved(width, width, 3)]
    else:
        middle = [*_convolved(inner, inner, 3), nn.ReLU()]
        layers = [*_convolved(in_width, inner, 1), nn.ReLU(), *middle, *_convolved(inner, width, 1)]
    shortcut = nn.Identity() if in_width == width else nn.Sequential(*_convolved(in_width, width, 1))
    return Residual(nn.Sequential(*layers), shortcut)


def _convolved(in_width: int, width: int, kernel: int, *, stride: int = 1) -> list[nn.Module]:
    """Return a convolution and its norm, which has no weights."""
    convolution = nn.Conv2d(in_width, width, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width, affine=False)]
