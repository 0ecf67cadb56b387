"""Elastic convolution: the first channels of the full weight, and smaller kernels learned from larger ones.

Paper: Once-for-All, arXiv 1908.09791, section 3.3 and appendix A.
Differs: nothing known. The transforms apply to ordinary convolutions as well as to depthwise ones.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic.mixing import mixed_kernel, mixed_weights, refuse_mixtures
from search_spaces.elastic.product import CONVOLUTION
from search_spaces.elastic.quantized import Weighted
from search_spaces.kernels.conv2d import conv2d
from search_spaces.sizes import AnySize, Mixture, Size, largest, mixtures, resolve


class KernelTransforms(nn.Module):
    """Learned matrices that turn the centre of a kernel into the next smaller kernel, shared over all channels.

    One matrix per neighbouring pair of sizes, identity at first: 7→5 has 25x25 entries and 5→3 has 9x9. A small
    kernel is reached through all sizes above it, so 3 comes from the transformed 5 and not from the 7.
    """

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.sizes = sorted(set(sizes), reverse=True)
        pairs = list(pairwise(self.sizes))
        self.matrices = nn.ParameterDict({f"{a}to{b}": nn.Parameter(torch.eye(b * b)) for a, b in pairs})

    def forward(self, weight: Tensor, size: int) -> Tensor:
        """Weight [O, I, K, K] of the largest size -> weight [O, I, size, size]."""
        for before, after in pairwise(self.sizes):
            if before == size:
                break
            margin = (before - after) // 2
            centre = weight[:, :, margin : margin + after, margin : margin + after]
            vectors = centre.reshape(-1, after * after)
            weight = F.linear(vectors, self.matrices[f"{before}to{after}"]).view(*centre.shape)
        return weight


def mixed_channels(
    mixed: Mapping[str, Mixture], weight: Tensor, bias: Tensor | None, *, depthwise: bool
) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias with their channels mixed; the inputs of a depthwise convolution are its outputs."""
    return mixed_weights({name: one for name, one in mixed.items() if name == "outputs" or not depthwise}, weight, bias)


def plain_conv2d(
    weight: Tensor, bias: Tensor | None, *, stride: int, padding: int, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Return a plain convolution with copies of weight [O, I / groups, K, K] and bias [O]."""
    conv = nn.utils.skip_init(
        nn.Conv2d,
        weight.shape[1] * groups,
        weight.shape[0],
        weight.shape[-1],
        stride,
        padding,
        dilation,
        groups=groups,
        bias=bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    conv.weight.copy_(weight)
    if bias is not None:
        conv.bias.copy_(bias)
    return conv


class ElasticConv2d(Weighted):
    """Convolution with "same" padding whose channels and kernel size follow an architecture.

    A mixture of sizes mixes weights, not outputs, see `search_spaces.elastic.mixing`.

    Args:
        in_size, out_size: Channels; equal where `depthwise`.
        kernel: Odd kernel size, fixed or elastic.
        stride: Stride of the convolution.
        depthwise: Whether each channel has a kernel of its own.
        bias: Whether a bias is added.
    """

    kind = CONVOLUTION

    def __init__(
        self,
        in_size: AnySize,
        out_size: AnySize,
        *,
        kernel: AnySize = 1,
        stride: int = 1,
        depthwise: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.in_size, self.out_size, self.kernel = in_size, out_size, kernel
        self.stride, self.depthwise = stride, depthwise
        self.active_in, self.active_out, self.active_kernel = largest(in_size), largest(out_size), largest(kernel)
        shape = (self.active_out, 1 if depthwise else self.active_in, self.active_kernel, self.active_kernel)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(self.active_out)) if bias else None
        kernels = set(kernel.values.values()) if isinstance(kernel, Size) else {kernel}
        self.transforms = KernelTransforms(list(kernels)) if len(kernels) > 1 else None
        self._mixed: dict[str, Mixture] = {}
        nn.init.kaiming_normal_(self.weight, mode="fan_out")

    def active_weight(self, channels: int) -> Tensor:
        """Weight [out, channels, k, k] of the active setting, for inputs with this many channels."""
        weight = self.full_weight()
        out = channels if self.depthwise else self.active_out
        channels = 1 if self.depthwise else channels
        if weight.shape[0] != out or weight.shape[1] != channels:
            weight = weight[:out, :channels]
        if self.transforms is not None:
            weight = self._at_kernel(self.transforms, weight)
        return weight

    def _at_kernel(self, transforms: KernelTransforms, weight: Tensor) -> Tensor:
        """Weight [O, I, K, K] of the largest kernel -> that of the active one, or of the mixture of several."""
        if (mixture := self._mixed.get("kernel")) is None:
            return transforms(weight, self.active_kernel)
        return mixed_kernel({size: transforms(weight, size) for size in mixture.weights}, mixture.weights)

    def activate(self, setting: Setting) -> None:
        in_size, out_size = resolve(self.in_size, setting), resolve(self.out_size, setting)
        kernel = resolve(self.kernel, setting)
        if isinstance(in_size, int) and isinstance(out_size, int) and isinstance(kernel, int):  # every step of training
            self.active_in, self.active_out, self.active_kernel = in_size, out_size, kernel
            if self._mixed:
                self._mixed = {}
        elif in_size is not None and out_size is not None and kernel is not None:
            self.active_in, self.active_out, self.active_kernel = largest(in_size), largest(out_size), largest(kernel)
            self._mixed = mixtures(inputs=in_size, outputs=out_size, kernel=kernel)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        weight = self.active_weight(channels)
        bias = None if self.bias is None else self.bias[: weight.shape[0]]
        if self._mixed:
            weight, bias = mixed_channels(self._mixed, weight, bias, depthwise=self.depthwise)
        groups = channels if self.depthwise else 1
        x, weight = self.rounded(x, weight)
        return conv2d(x, weight, bias, self.stride, self.active_kernel // 2, 1, groups)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        conv = plain_conv2d(
            self.active_weight(self.active_in),
            None if self.bias is None else self.bias[: self.active_out],
            stride=self.stride,
            padding=self.active_kernel // 2,
            groups=self.active_in if self.depthwise else 1,
        )
        return self.extracted_as(conv)
