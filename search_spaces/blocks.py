"""Plain containers that networks are made of; their leaves may be elastic or not.

Nothing here knows of architectures, so an extracted subnet made of these is ordinary torch code.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": lambda: nn.ReLU(inplace=True), "h_swish": nn.Hardswish}


class HiddenChannels(NamedTuple):
    """Channels inside a block: permuting all `carriers` alike leaves the function of the block unchanged.

    `carriers` are (tensor, dimension) pairs. `reader` is the convolution that reads the channels on dimension 1 of its
    weight; its `in_size` says which prefixes of the channels architectures use.
    """

    reader: Any
    carriers: list[tuple[Tensor, int]]


class Resize(nn.Module):
    """Bring square images to `size` pixels, bilinear with antialiasing; images of that size pass untouched."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] == self.size and x.shape[-2] == self.size:
            return x
        return F.interpolate(x, size=(self.size, self.size), mode="bilinear", align_corners=False, antialias=True)

    def extra_repr(self) -> str:
        return str(self.size)


class PixelMean(nn.Module):
    """The mean over all pixels, [B, C, H, W] -> [B, C], or [B, C, 1, 1] where the dimensions are kept."""

    def __init__(self, *, keepdim: bool = False) -> None:
        super().__init__()
        self.keepdim = keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=self.keepdim)


class Sum(nn.Module):
    """The sum of so many feature maps, all the input here; zeros for none."""

    def __init__(self, terms: int) -> None:
        super().__init__()
        self.terms = terms

    def forward(self, x: Tensor) -> Tensor:
        total = x if self.terms else x * 0.0
        for _ in range(self.terms - 1):
            total = total + x
        return total


class Concat(nn.Module):
    """So many feature maps one after the other, all the input here."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x] * self.parts, dim=1)


class ConvNormAct(nn.Sequential):
    """Convolution, then normalisation and activation where given."""

    def __init__(self, conv: nn.Module, norm: nn.Module | None = None, activation: str | None = None) -> None:
        super().__init__()
        self.conv = conv
        if norm is not None:
            self.norm = norm
        if activation is not None:
            self.act = ACTIVATIONS[activation]()


def _carriers(layer: Any, dimension: int = 0) -> list[tuple[Tensor, int]]:
    """Return the tensors of a convolution or norm with the channels it writes (dimension 0) or reads (dimension 1)."""
    if dimension == 1:
        return [(layer.weight, 1)]
    names = ("weight", "bias", "running_mean", "running_var")
    found = [(getattr(layer, name), 0) for name in names if getattr(layer, name, None) is not None]
    quantizer = getattr(layer, "quantizer", None)
    return found if quantizer is None else found + [(vector, 0) for vector in quantizer.vectors()]


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate computed from the channel means: 1x1, ReLU, 1x1, hard sigmoid."""

    def __init__(self, reduce: nn.Module, expand: nn.Module) -> None:
        super().__init__()
        self.reduce, self.expand = reduce, expand

    def forward(self, x: Tensor) -> Tensor:
        gate = F.relu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * F.hardsigmoid(self.expand(gate))


class InvertedResidual(nn.Module):
    """MobileNet block: 1x1 expansion (or none), depthwise convolution, squeeze-excite (or none), 1x1 projection."""

    def __init__(
        self,
        expand: nn.Module | None,
        depthwise: nn.Module,
        squeeze_excite: nn.Module | None,
        project: nn.Module,
        *,
        shortcut: bool,
    ) -> None:
        super().__init__()
        self.expand = expand or nn.Identity()
        self.depthwise = depthwise
        self.squeeze_excite = squeeze_excite or nn.Identity()
        self.project = project
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.squeeze_excite(self.depthwise(self.expand(x))))
        return out + x if self.shortcut else out

    def hidden_channels(self) -> list[HiddenChannels]:
        """Return the expanded channels, and those inside squeeze-excite; none where the block does not expand, or
        always runs with all of them."""
        if isinstance(self.expand, nn.Identity) or isinstance(self.project.conv, nn.Conv2d):
            return []
        carriers = _carriers(self.expand.conv) + _carriers(self.expand.norm)
        carriers += _carriers(self.depthwise.conv) + _carriers(self.depthwise.norm) + _carriers(self.project.conv, 1)
        hidden = []
        if isinstance(self.squeeze_excite, SqueezeExcite):
            reduce, expand = self.squeeze_excite.reduce, self.squeeze_excite.expand
            carriers += _carriers(reduce, 1) + _carriers(expand)
            hidden.append(HiddenChannels(expand, _carriers(reduce) + _carriers(expand, 1)))
        return [HiddenChannels(self.project.conv, carriers), *hidden]


# ---- plain blocks ---------------------------------------------------------------------------------------------------


def plain_conv_norm_act(
    in_width: int,
    out_width: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: Callable[[], nn.Module] | None = None,
) -> ConvNormAct:
    """Return a convolution with "same" padding and without bias, batch norm, activation where given."""
    conv = nn.Conv2d(in_width, out_width, kernel, stride, kernel // 2, groups=groups, bias=False)
    block = ConvNormAct(conv, nn.BatchNorm2d(out_width))
    if activation is not None:
        block.act = activation()
    return block


def plain_inverted_residual(
    widths: tuple[int, int, int],
    *,
    kernel: int,
    stride: int,
    activation: Callable[[], nn.Module],
    expands: bool = True,
) -> InvertedResidual:
    """Return a block without squeeze-excite, with widths (in, middle, out); it adds its input where shapes agree."""
    in_width, middle, out_width = widths
    return InvertedResidual(
        plain_conv_norm_act(in_width, middle, 1, activation=activation) if expands else None,
        plain_conv_norm_act(middle, middle, kernel, stride=stride, groups=middle, activation=activation),
        None,
        plain_conv_norm_act(middle, out_width, 1),
        shortcut=stride == 1 and in_width == out_width,
    )
