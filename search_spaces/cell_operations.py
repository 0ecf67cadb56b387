"""Operations that cells are made of: convolutions between a ReLU and a batch norm."""

from torch import nn


class ReLUConvNorm(nn.Sequential):
    """ReLU, convolution with "same" padding, batch norm."""

    def __init__(self, in_width: int, out_width: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_width, out_width, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_width)
