"""The network of the convolutional toy space of TangleNAS."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


def convolution(
    width: int, out_width: int, kernel: int, *, padding: int, pooled: bool = False, dropped: bool = False
) -> nn.Sequential:
    """Return a convolution with bias, and what follows it: max pooling to half the size, dropout."""
    return followed(nn.Conv2d(width, out_width, kernel, padding=padding), pooled=pooled, dropped=dropped)


def followed(convolution: nn.Module, *, pooled: bool = False, dropped: bool = False) -> nn.Sequential:
    """Return a convolution with what follows it."""
    block = nn.Sequential(convolution, nn.ReLU())
    if pooled:
        block.append(nn.MaxPool2d(2))
    if dropped:
        block.append(nn.Dropout2d(0.5))
    return block


def head(sizes: Sequence[int]) -> tuple[nn.Sequential, nn.Linear]:
    """Return the hidden linear layers and the classifier; `sizes` are the features and, at the end, the classes."""
    hidden = nn.Sequential()
    for before, after in pairwise(sizes[:-1]):
        hidden.extend([nn.Linear(before, after), nn.ReLU()])
    return hidden, nn.Linear(sizes[-2], sizes[-1])


class ConvMacroNetwork(nn.Module):
    """Convolutions and linear layers; images [B, C, H, W] -> logits [B, classes]."""

    def __init__(self, features: Sequence[nn.Module], hidden: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(*features)
        self.hidden, self.classifier = hidden, classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.hidden(self.features(x).flatten(1)))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive feature maps: the convolutions with what follows each."""
        return list(self.features)
