"""Numbers rounded to a few levels, as floating point numbers that gradients pass: fake quantisation.

Paper: LSQ, arXiv 1902.08153, section 2; LSQ+, arXiv 2004.09576, section 3; EQ-Net, arXiv 2308.07650, section 3.
Differs: the released code of EQ-Net divides the size of a weight by its input channels for the gradient of a scale of a
channel; here it is divided by the output channels, which have the scales. A scale counts by its size: the sign that a
step may give it says nothing. First ranges are those that lose least on evenly spaced numbers of a tensor, which are
all of them where there are few; per channel they are tried in 80 steps, as per tensor.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_SHRINKS = [1.0 - 0.01 * step for step in range(80)]
_POWER = 2.4
_NUMBERS, _NUMBERS_OF_A_CHANNEL = 1 << 13, 1 << 10
_NOT_NEGATIVE = -1e-9
_LEAST = 1e-12


class Levels(NamedTuple):
    """The whole numbers that a tensor is rounded to, from the lowest to the highest."""

    low: int
    high: int

    @classmethod
    def of(cls, bits: int, *, signed: bool) -> Levels:
        """Return the levels of so many bits."""
        return cls(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else cls(0, 2**bits - 1)


def fake_quantized(x: Tensor, scale: Tensor, offset: Tensor | None, levels: Levels) -> Tensor:
    """Return a tensor, each number of which is the nearest of the levels times `scale`, plus `offset`.

    The gradient passes a number between the lowest and the highest level as it is, and no other one. Those of scale and
    offset are those of LSQ and LSQ+, without their factors; see `damped`.

    Args:
        x: Tensor; its first dimension is that of the output channels where they have scales of their own.
        scale: One scale, or one [O] for each output channel.
        offset: Offsets of the same shape; None for 0.
        levels: What is rounded to.
    """
    scale = _along(scale, x).abs().clamp_min(_LEAST)
    shifted = x if offset is None else x - _along(offset, x)
    within = (shifted / scale).clamp(levels.low, levels.high)
    codes = within + (within.round() - within).detach()
    return codes * scale if offset is None else codes * scale + _along(offset, x)


def _along(value: Tensor, x: Tensor) -> Tensor:
    return value if value.dim() == 0 else value.view(-1, *(1,) * (x.dim() - 1))


def damped(value: Tensor, factor: float) -> Tensor:
    """Return a tensor as it is, whose gradient is multiplied by a factor."""
    scaled = value * factor
    return scaled + (value - scaled).detach()


def factor_of(x: Tensor, levels: Levels, *, per_channel: bool) -> float:
    """Return what the gradients of scales and offsets are multiplied by, so that they are as large as others.

    Args:
        x: What is rounded.
        levels: What it is rounded to.
        per_channel: Whether every output channel, the first dimension, has a scale.
    """
    if per_channel:
        return 2.0 * (levels.high * x.numel() / x.shape[0]) ** -0.5
    return float(levels.high * x.numel()) ** -0.5


def rounded(x: Tensor, scale: Tensor, offset: Tensor | None, levels: Levels) -> Tensor:
    """Return a fake quantised tensor, with the gradients of scales and offsets that they are trained with."""
    if torch.is_grad_enabled():
        factor = factor_of(x, levels, per_channel=scale.dim() > 0)
        scale, offset = damped(scale, factor), None if offset is None else damped(offset, factor)
    return fake_quantized(x.float(), scale, offset, levels)


def is_signed(x: Tensor) -> bool:
    """Return whether a tensor has numbers below 0."""
    return bool(x.detach().min() < _NOT_NEGATIVE)


@torch.no_grad()
def fitted(x: Tensor, levels: Levels, *, per_channel: bool, symmetric: bool) -> tuple[Tensor, Tensor]:
    """Return scale and offset, or those of each output channel, that round a tensor with the least loss.

    The ranges that are tried are that of all numbers, and smaller ones down to 0.21 of it. The loss is the sum of the
    differences to the power of 2.4.

    Args:
        x: Tensor; its first dimension is that of the output channels where they have scales of their own.
        levels: What is rounded to.
        per_channel: Whether every output channel has a range of its own.
        symmetric: Whether 0 is in the middle of signed levels, and the lowest of others.

    Returns:
        Scales and offsets, both [O] or without dimensions. Offsets are 0 where `symmetric`.
    """
    rows = x.detach().float().reshape(len(x) if per_channel else 1, -1)
    lowest, highest = rows.amin(1), rows.amax(1)
    if symmetric:
        highest = torch.maximum(lowest.abs(), highest.abs())
        lowest = torch.zeros_like(highest) if levels.low == 0 else -highest
    rows = _spread(rows, _NUMBERS_OF_A_CHANNEL if per_channel else _NUMBERS)
    least = torch.full_like(lowest, torch.inf)
    scale, offset = torch.ones_like(lowest), torch.zeros_like(lowest)
    for shrink in _SHRINKS:
        width = (highest - lowest) * shrink / (levels.high - levels.low)
        width = torch.where(width > _LEAST, width, torch.ones_like(width))
        middle = torch.zeros_like(width) if symmetric else lowest * shrink - levels.low * width
        loss = (rows - fake_quantized(rows, width, middle, levels)).abs().pow(_POWER).sum(1)
        better = loss < least
        least = torch.where(better, loss, least)
        scale, offset = torch.where(better, width, scale), torch.where(better, middle, offset)
    return (scale, offset) if per_channel else (scale[0], offset[0])


def _spread(rows: Tensor, most: int) -> Tensor:
    """Return at most so many evenly spaced numbers of each row."""
    return rows[:, :: -(-rows.shape[1] // most)]
