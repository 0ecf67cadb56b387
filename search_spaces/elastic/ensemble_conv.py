"""Elastic convolution of an ensemble: the first of so many small convolutions beside each other run."""

import torch
from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic.conv import plain_conv2d
from search_spaces.elastic.layer import Elastic
from search_spaces.kernels.conv2d import conv2d
from search_spaces.sizes import AnySize, largest, resolve_number


class EnsembleConv2d(Elastic):
    """Convolution in groups, one for each member of an ensemble, with "same" padding and without bias.

    Members see nothing of each other, so that the cost is linear in their number.

    Args:
        members: How many members run.
        in_width, out_width: Channels of one member.
        kernel: Odd kernel size.
        stride: Stride of the convolution.
    """

    def __init__(self, members: AnySize, in_width: int, out_width: int, *, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.members, self.in_width, self.out_width = members, in_width, out_width
        self.kernel, self.stride = kernel, stride
        self.active_members = largest(members)
        self.weight = nn.Parameter(torch.empty(self.active_members * out_width, in_width, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_in")

    @property
    def is_fixed(self) -> bool:
        return isinstance(self.members, int)

    def activate(self, setting: Setting) -> None:
        self.active_members = resolve_number(self.members, setting) or self.active_members

    def _active(self) -> Tensor:
        return self.weight[: self.active_members * self.out_width]

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self._active(), None, self.stride, self.kernel // 2, 1, self.active_members)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        padding, groups = self.kernel // 2, self.active_members
        plain = plain_conv2d(self._active(), None, stride=self.stride, padding=padding, groups=groups)
        return plain.train(self.training)
