"""Operations that cells are made of, and their exact costs: those of DARTS and of its relatives in NDS.

Paper: Liu et al., DARTS, arXiv 1806.09055; Radosavovic et al., On Network Design Spaces, arXiv 1905.13214.
Differs: nothing known. Inputs of odd size are padded where a reduction is split in two, so that any size will do.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.sizes import strided


class ReLUConvNorm(nn.Sequential):
    """ReLU, convolution with "same" padding, batch norm.

    Where the norm is not `affine`, the convolution has a bias.
    """

    def __init__(self, in_width: int, out_width: int, kernel: int, *, stride: int = 1, affine: bool = True) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_width, out_width, kernel, stride, kernel // 2, bias=not affine)
        self.norm = nn.BatchNorm2d(out_width, affine=affine)


class SeparableConv(nn.Sequential):
    """ReLU, depthwise convolution, 1x1 convolution and batch norm, `repeats` times; the stride is in the first."""

    def __init__(self, width: int, kernel: int, *, stride: int, dilation: int = 1, repeats: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        for i in range(1, repeats + 1):
            step = stride if i == 1 else 1
            depthwise = nn.Conv2d(width, width, kernel, step, padding, dilation, groups=width, bias=False)
            self.add_module(f"relu{i}", nn.ReLU())
            self.add_module(f"depthwise{i}", depthwise)
            self.add_module(f"pointwise{i}", nn.Conv2d(width, width, 1, bias=False))
            self.add_module(f"norm{i}", nn.BatchNorm2d(width))


class FactorisedConv(nn.Sequential):
    """ReLU, a 1xk and a kx1 convolution, batch norm."""

    def __init__(self, width: int, kernel: int, *, stride: int) -> None:
        super().__init__()
        half = kernel // 2
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(width, width, (1, kernel), (1, stride), (0, half), bias=False)
        self.conv2 = nn.Conv2d(width, width, (kernel, 1), (stride, 1), (half, 0), bias=False)
        self.norm = nn.BatchNorm2d(width)


class FactorisedReduce(nn.Module):
    """Half the pixels without losing any: two 1x1 convolutions of stride 2, the second on the input moved by one
    pixel, each for half of the channels; [B, C, H, W] -> [B, C', H/2, W/2]."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(in_width, out_width // 2, 1, 2, bias=False)
        self.conv2 = nn.Conv2d(in_width, out_width - out_width // 2, 1, 2, bias=False)
        self.norm = nn.BatchNorm2d(out_width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        moved = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.conv1(x), self.conv2(moved)], dim=1))


class Zero(nn.Module):
    """Zeros of the size that the other operations give."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0.0


# ---- by name --------------------------------------------------------------------------------------------------------


class Operation(NamedTuple):
    """How to make an operation from channels and stride, and its cost.

    `cost` is called with (channels, size, stride), `size` being the pixels of one side of the input; it gives the
    parameters and the multiply-accumulates.
    """

    module: Callable[[int, int], nn.Module]
    cost: Callable[[int, int, int], tuple[int, int]]


def _free(width: int, size: int, stride: int) -> tuple[int, int]:
    return 0, 0


def _pool(kind: type[nn.Module], kernel: int) -> Operation:
    extra = {"count_include_pad": False} if kind is nn.AvgPool2d else {}
    return Operation(lambda width, stride: kind(kernel, stride=stride, padding=kernel // 2, **extra), _free)


def _conv(kernel: int) -> Operation:
    def cost(width: int, size: int, stride: int) -> tuple[int, int]:
        weights = kernel * kernel * width * width
        return weights + 2 * width, weights * strided(size, stride) ** 2

    return Operation(lambda width, stride: ReLUConvNorm(width, width, kernel, stride=stride), cost)


def _separable(kernel: int, *, dilation: int = 1, repeats: int = 1) -> Operation:
    def module(width: int, stride: int) -> nn.Module:
        return SeparableConv(width, kernel, stride=stride, dilation=dilation, repeats=repeats)

    def cost(width: int, size: int, stride: int) -> tuple[int, int]:
        weights = repeats * (kernel * kernel * width + width * width)
        return weights + repeats * 2 * width, weights * strided(size, stride) ** 2

    return Operation(module, cost)


def _factorised(kernel: int) -> Operation:
    def cost(width: int, size: int, stride: int) -> tuple[int, int]:
        weights, after = kernel * width * width, strided(size, stride)
        return 2 * weights + 2 * width, weights * (size * after + after * after)

    return Operation(lambda width, stride: FactorisedConv(width, kernel, stride=stride), cost)


def factorised_reduce_cost(in_width: int, out_width: int, size: int) -> tuple[int, int]:
    """Parameters and MACs of `FactorisedReduce`."""
    weights = in_width * out_width
    return weights + 2 * out_width, weights * strided(size, 2) ** 2


OPERATIONS: dict[str, Operation] = {
    "none": Operation(lambda width, stride: Zero(stride), _free),
    "skip_connect": Operation(
        lambda width, stride: nn.Identity() if stride == 1 else FactorisedReduce(width, width),
        lambda width, size, stride: (0, 0) if stride == 1 else factorised_reduce_cost(width, width, size),
    ),
    "avg_pool_3x3": _pool(nn.AvgPool2d, 3),
    "max_pool_3x3": _pool(nn.MaxPool2d, 3),
    "max_pool_5x5": _pool(nn.MaxPool2d, 5),
    "max_pool_7x7": _pool(nn.MaxPool2d, 7),
    "conv_1x1": _conv(1),
    "conv_3x3": _conv(3),
    "conv_3x1_1x3": _factorised(3),
    "conv_7x1_1x7": _factorised(7),
    "sep_conv_3x3": _separable(3, repeats=2),
    "sep_conv_5x5": _separable(5, repeats=2),
    "sep_conv_7x7": _separable(7, repeats=2),
    "dil_conv_3x3": _separable(3, dilation=2),
    "dil_conv_5x5": _separable(5, dilation=2),
    "dil_sep_conv_3x3": _separable(3, dilation=2, repeats=2),
}

OPERATION_SETS: dict[str, tuple[str, ...]] = {
    "darts": (
        "none", "max_pool_3x3", "avg_pool_3x3", "skip_connect",
        "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
    ),
    "nasnet": (
        "skip_connect", "conv_3x1_1x3", "conv_7x1_1x7", "dil_conv_3x3", "avg_pool_3x3", "max_pool_3x3", "max_pool_5x5",
        "max_pool_7x7", "conv_1x1", "conv_3x3", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7",
    ),
    "enas": ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"),
    "amoebanet": (
        "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7",
        "avg_pool_3x3", "max_pool_3x3", "dil_sep_conv_3x3", "conv_7x1_1x7",
    ),
    "pnas": (
        "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_7x1_1x7",
        "skip_connect", "avg_pool_3x3", "max_pool_3x3", "dil_conv_3x3",
    ),
}  # fmt: skip
"""The operations of each family in the order of the published code."""
