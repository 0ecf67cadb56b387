"""Elastic convolution whose smaller kernels are the centres of the largest.

Paper: Sukthanker et al., Weight-Entanglement Meets Gradient-Based Neural Architecture Search, AutoML-Conf 2024 (PMLR
v256), section 3: a smaller kernel is a window of the larger one, without learned transforms.
Differs: the window is the centre everywhere; the released code takes the top left corner where it does not mix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic.conv import mixed_channels, plain_conv2d
from search_spaces.elastic.mixing import centre_factors, refuse_mixtures
from search_spaces.elastic.product import CONVOLUTION
from search_spaces.elastic.quantized import Weighted
from search_spaces.kernels.conv2d import conv2d
from search_spaces.sizes import AnySize, Mixture, largest, mixtures, resolve


class CroppedConv2d(Weighted):
    """A plain convolution made elastic; its weights, stride, dilation and padding are taken over.

    A smaller kernel has as much less padding, so that the output keeps its size. A mixture of sizes mixes weights: one
    factor for each position of the kernel and for each channel, whatever the number of choices.

    Args:
        plain: The convolution of the largest setting; its kernel is square, and it has one group, or as many groups
            as channels.
        in_size, out_size: Channels where they follow a decision; those of `plain` by default.
        kernel: Kernel size where it follows a decision.
    """

    kind = CONVOLUTION

    def __init__(
        self,
        plain: nn.Conv2d,
        *,
        in_size: AnySize | None = None,
        out_size: AnySize | None = None,
        kernel: AnySize | None = None,
    ) -> None:
        super().__init__()
        assert isinstance(plain.padding, tuple)
        self.in_size: AnySize = plain.in_channels if in_size is None else in_size
        self.out_size: AnySize = plain.out_channels if out_size is None else out_size
        self.kernel: AnySize = plain.kernel_size[0] if kernel is None else kernel
        sizes = (largest(self.in_size), largest(self.out_size), largest(self.kernel))
        if sizes != (plain.in_channels, plain.out_channels, plain.kernel_size[0]):
            raise ValueError(f"the largest sizes {sizes} are not those of {plain}")
        self.active_in, self.active_out, self.active_kernel = sizes
        self.stride, self.dilation, self.padding = plain.stride[0], plain.dilation[0], plain.padding[0]
        self.depthwise = plain.groups > 1
        self.weight, self.bias = plain.weight, plain.bias
        self._mixed: dict[str, Mixture] = {}

    @property
    def is_fixed(self) -> bool:
        return all(isinstance(size, int) for size in (self.in_size, self.out_size, self.kernel))

    def activate(self, setting: Setting) -> None:
        in_size, out_size = resolve(self.in_size, setting), resolve(self.out_size, setting)
        kernel = resolve(self.kernel, setting)
        if in_size is not None and out_size is not None and kernel is not None:
            self.active_in, self.active_out, self.active_kernel = largest(in_size), largest(out_size), largest(kernel)
            self._mixed = mixtures(inputs=in_size, outputs=out_size, kernel=kernel)

    def _active_padding(self) -> int:
        return self.padding - self.dilation * (self.weight.shape[-1] - self.active_kernel) // 2

    def _active_weights(self, channels: int) -> tuple[Tensor, Tensor | None]:
        """Return weight [out, channels, k, k] and bias [out] of the active setting, for so many input channels."""
        out = channels if self.depthwise else self.active_out
        margin = (self.weight.shape[-1] - self.active_kernel) // 2
        window = slice(margin, margin + self.active_kernel)
        weight = self.weight[:out, : 1 if self.depthwise else channels, window, window]
        bias = None if self.bias is None else self.bias[:out]
        if (mixture := self._mixed.get("kernel")) is not None:
            factors = centre_factors(mixture, self.active_kernel, weight)
            weight = weight * factors
            if bias is not None:  # every kernel has its centre
                bias = bias * factors[self.active_kernel // 2, self.active_kernel // 2]
        if self._mixed:
            weight, bias = mixed_channels(self._mixed, weight, bias, depthwise=self.depthwise)
        return weight, bias

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self._active_weights(x.shape[1])
        groups = x.shape[1] if self.depthwise else 1
        x, weight = self.rounded(x, weight)
        return conv2d(x, weight, bias, self.stride, self._active_padding(), self.dilation, groups)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        weight, bias = self._active_weights(self.active_in)
        conv = plain_conv2d(
            weight,
            bias,
            stride=self.stride,
            padding=self._active_padding(),
            dilation=self.dilation,
            groups=self.active_in if self.depthwise else 1,
        )
        return self.extracted_as(conv)
