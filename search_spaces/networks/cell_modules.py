"""Operations that cells are made of, as modules: those of DARTS and of its relatives in NDS.

Paper: Liu et al., DARTS, arXiv 1806.09055; Radosavovic et al., On Network Design Spaces, arXiv 1905.13214.
Differs: nothing known. Inputs of odd size are padded where a reduction is split in two, so that any size will do.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.families.cell_operations import Operation


class ReLUConvNorm(nn.Sequential):
    """ReLU, convolution with "same" padding, batch norm.

    Where the norm is not `affine`, the convolution has a bias.
    """

    def __init__(self, in_width: int, out_width: int, kernel: int, *, stride: int = 1, affine: bool = True) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv: nn.Module = nn.Conv2d(in_width, out_width, kernel, stride, kernel // 2, bias=not affine)
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


def operation_module(operation: Operation, width: int, stride: int) -> nn.Module:
    """Return an operation with fresh weights, on so many channels."""
    kernel, half = operation.kernel, operation.kernel // 2
    match operation.kind:
        case "none":
            return Zero(stride)
        case "skip":
            return nn.Identity() if stride == 1 else FactorisedReduce(width, width)
        case "average":
            return nn.AvgPool2d(kernel, stride=stride, padding=half, count_include_pad=False)
        case "maximum":
            return nn.MaxPool2d(kernel, stride=stride, padding=half)
        case "convolution":
            return ReLUConvNorm(width, width, kernel, stride=stride)
        case "factorised":
            return FactorisedConv(width, kernel, stride=stride)
        case "separable":
            return SeparableConv(width, kernel, stride=stride, dilation=operation.dilation, repeats=operation.repeats)
