"""Layers whose weights can be pruned one by one: a mask of what is left is saved with the weight.

Paper: SuperTickets, arXiv 2207.03677. A masked weight counts as 0 in the forward pass; its value stays, so that it can
return, and the loss gives it no gradient.
Differs: nothing known.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from search_spaces.elastic.conv import ElasticConv2d, plain_conv2d
from search_spaces.elastic.linear import ElasticLinear
from search_spaces.kernels.conv2d import conv2d
from search_spaces.sizes import AnySize


class MaskedConv2d(ElasticConv2d):
    """Elastic convolution with a mask, without bias unless asked for.

    Args:
        in_size, out_size: Channels; equal where `depthwise`, numbers where there are `groups`.
        kernel: Odd kernel size.
        stride: Stride of the convolution.
        depthwise: Whether each channel has a kernel of its own.
        bias: Whether a bias is added.
        groups: Groups of channels that see nothing of each other.

    Attributes:
        mask: Whether each weight is left, of the shape of the weight.
    """

    mask: Tensor

    def __init__(
        self,
        in_size: AnySize,
        out_size: AnySize,
        *,
        kernel: int = 1,
        stride: int = 1,
        depthwise: bool = False,
        bias: bool = False,
        groups: int = 1,
    ) -> None:
        if groups > 1:
            assert isinstance(in_size, int)
            in_size //= groups
        super().__init__(in_size, out_size, kernel=kernel, stride=stride, depthwise=depthwise, bias=bias)
        self.groups = groups
        self.register_buffer("mask", torch.ones_like(self.weight, dtype=torch.bool))

    def full_weight(self) -> Tensor:
        return self.weight * self.mask

    def live(self) -> tuple[slice, slice]:
        """Return the rows and columns of the weight that the active setting uses."""
        if self.depthwise:
            return slice(self.active_out), slice(1)
        return slice(self.active_out), slice(self.active_in)

    def forward(self, x: Tensor) -> Tensor:
        if self.groups == 1:
            return super().forward(x)
        x, weight = self.rounded(x, self.full_weight())
        return conv2d(x, weight, self.bias, self.stride, self.active_kernel // 2, 1, self.groups)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        if self.groups == 1:
            return super().extract()
        padding = self.active_kernel // 2
        plain = plain_conv2d(self.full_weight(), self.bias, stride=self.stride, padding=padding, groups=self.groups)
        return self.extracted_as(plain)


class MaskedLinear(ElasticLinear):
    """Elastic linear layer with a mask.

    Attributes:
        mask: Whether each weight is left, of the shape of the weight.
    """

    mask: Tensor

    def __init__(self, in_size: AnySize, out_size: AnySize, *, bias: bool = True) -> None:
        super().__init__(in_size, out_size, bias=bias)
        self.register_buffer("mask", torch.ones_like(self.weight, dtype=torch.bool))

    def full_weight(self) -> Tensor:
        return self.weight * self.mask

    def live(self) -> tuple[slice, slice]:
        """Return the rows and columns of the weight that the active setting uses."""
        return slice(self.active_out), slice(self.active_in)


Masked = MaskedConv2d | MaskedLinear


def masked_layers(network: nn.Module) -> Iterator[tuple[str, Masked]]:
    """Yield the layers of a network that have masks, with their names."""
    for name, module in network.named_modules():
        if isinstance(module, Masked):
            yield name, module
