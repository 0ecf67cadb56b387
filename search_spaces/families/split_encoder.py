"""The sizes of the encoder that stands for the first part of a network on a weak device."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from search_spaces import costs
from search_spaces.sizes import AnySize, Size, largest, strided


@dataclass(frozen=True, kw_only=True)
class EncoderSizes:
    """The sizes of an encoder; its layers have one width.

    Args:
        channels: Channels of an image.
        width: Channels of each layer, all members of an ensemble together.
        members: How many members of an ensemble run; 0 where the encoder is one network.
        halvings: Layers of stride 2.
        depth: Layers of stride 1 behind them.
        bottleneck: Channels that are sent.
        bits: Bits of each number that is sent.
    """

    channels: int
    width: AnySize
    members: AnySize
    halvings: int
    depth: int
    bottleneck: AnySize
    bits: AnySize

    @property
    def member_width(self) -> int:
        """Channels of one member of an ensemble."""
        return largest(self.width) // largest(self.members)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each layer."""
        return (2,) * self.halvings + (1,) * self.depth

    def count_layers(self, image_size: int) -> Counter[str]:
        """Return the params and MACs of the layers before the bottleneck, whose sizes are all fixed."""
        total, side, before = Counter[str](), image_size, self.channels
        width, members = largest(self.width), largest(self.members)
        for number, stride in enumerate(self.strides):
            side = strided(side, stride)
            groups = members if members and number else 1
            total += costs.conv_norm(before, width, 3, pixels=side**2, groups=groups)
            before = width
        return total

    def count_bottleneck(self, side: int) -> Counter[str]:
        """Return the params and MACs of the bottleneck, whose norm has no weights."""
        return costs.convolution(largest(self.width), largest(self.bottleneck), pixels=side**2)


def count_decoder(bottleneck: int, out_width: int, side: int) -> Counter[str]:
    """Return the params and MACs of what makes feature maps of a bottleneck."""
    first = costs.conv_norm(bottleneck, out_width, 3, pixels=side**2)
    return first + costs.conv_norm(out_width, out_width, pixels=side**2)


def width_of(decision: str, fractions: tuple[float, ...], width: int) -> Size:
    """Return the channels at each fraction of a width, at least one."""
    return Size(decision, {fraction: max(1, round(fraction * width)) for fraction in fractions})
