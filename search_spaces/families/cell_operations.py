"""Operations that cells are made of, and their exact costs: those of DARTS and of its relatives in NDS.

Paper: Liu et al., DARTS, arXiv 1806.09055; Radosavovic et al., On Network Design Spaces, arXiv 1905.13214.
Differs: nothing known.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from search_spaces import costs
from search_spaces.sizes import strided


@dataclass(frozen=True)
class Operation:
    """The parts of an operation.

    Args:
        kind: Kind of module, see `search_spaces.networks.cell_modules`.
        kernel: Its size.
        dilation: Dilation of a separable convolution.
        repeats: How often a separable convolution stands there.
    """

    kind: Literal["none", "skip", "average", "maximum", "convolution", "factorised", "separable"]
    kernel: int = 0
    dilation: int = 1
    repeats: int = 1

    def count(self, width: int, size: int, stride: int) -> Counter[str]:
        """Return the params and MACs on so many channels, for an input of `size` pixels a side."""
        after = strided(size, stride)
        match self.kind:
            case "skip" if stride > 1:
                return factorised_reduce(width, width, size)
            case "convolution":
                return costs.conv_norm(width, width, self.kernel, pixels=after**2)
            case "factorised":
                weights = self.kernel * width * width  # of each of the two convolutions
                total = Counter(params=2 * weights, macs=weights * (size * after + after * after))
                return total + costs.norm(width)
            case "separable":
                once = costs.convolution(width, width, self.kernel, pixels=after**2, groups=width)
                once += costs.conv_norm(width, width, pixels=after**2)
                return Counter({name: self.repeats * number for name, number in once.items()})
        return Counter()


def factorised_reduce(in_width: int, out_width: int, size: int) -> Counter[str]:
    """Return the params and MACs of halving the pixels by two 1x1 convolutions, each for half of the channels."""
    return costs.conv_norm(in_width, out_width, pixels=strided(size, 2) ** 2)


OPERATIONS: dict[str, Operation] = {
    "none": Operation("none"),
    "skip_connect": Operation("skip"),
    "avg_pool_3x3": Operation("average", 3),
    "max_pool_3x3": Operation("maximum", 3),
    "max_pool_5x5": Operation("maximum", 5),
    "max_pool_7x7": Operation("maximum", 7),
    "conv_1x1": Operation("convolution", 1),
    "conv_3x3": Operation("convolution", 3),
    "conv_3x1_1x3": Operation("factorised", 3),
    "conv_7x1_1x7": Operation("factorised", 7),
    "sep_conv_3x3": Operation("separable", 3, repeats=2),
    "sep_conv_5x5": Operation("separable", 5, repeats=2),
    "sep_conv_7x7": Operation("separable", 7, repeats=2),
    "dil_conv_3x3": Operation("separable", 3, dilation=2),
    "dil_conv_5x5": Operation("separable", 5, dilation=2),
    "dil_sep_conv_3x3": Operation("separable", 3, dilation=2, repeats=2),
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
