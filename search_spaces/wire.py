"""What passes between the two halves of a network: numbers that are sent with few bits.

Paper: Max, Quantizing for minimum distortion, IRE Transactions on Information Theory 6(1), 1960: the distance between
the levels of a uniform quantizer that loses least of normal numbers, also called its step.
Differs: both sides know the steps, since the numbers have mean 0 and variance 1; no scale is sent beside them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.wire_bits import BITS, STEPS, WHOLE_BITS


class _Passed(torch.autograd.Function):
    """Other values of the same gradient, which is 0 for numbers beyond the levels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, reach: float) -> Tensor:
        ctx.save_for_backward(x.abs() <= reach)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


class Wire(nn.Module):
    """A uniform quantizer of normalised numbers; gradients pass straight through it.

    `values(codes(x))` is what `forward` gives, bit for bit, so that both halves of a network compute what it does as
    a whole.

    Args:
        bits: Bits of each number, one of `BITS`.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        if bits not in BITS:
            raise ValueError(f"bits must be one of {', '.join(map(str, BITS))}, got {bits}")
        self.bits = bits

    def codes(self, x: Tensor) -> Tensor:
        """Return what is sent of numbers: whole numbers uint8 from 0 to 2^bits - 1, or the numbers themselves."""
        if self.bits == WHOLE_BITS:
            return x
        half = 2 ** (self.bits - 1)
        return ((x / STEPS[self.bits]).floor().clamp(-half, half - 1) + half).to(torch.uint8)

    def values(self, codes: Tensor) -> Tensor:
        """Return the numbers that codes stand for."""
        if self.bits == WHOLE_BITS:
            return codes
        return (codes.to(torch.float32) - (2 ** (self.bits - 1) - 0.5)) * STEPS[self.bits]

    def forward(self, x: Tensor) -> Tensor:
        """Return numbers as they arrive, of the same shape."""
        if self.bits == WHOLE_BITS:
            return x
        values = self.values(self.codes(x.detach())).to(x.dtype)
        return _Passed.apply(x, values, 2 ** (self.bits - 1) * STEPS[self.bits]) if self.training else values

    def extra_repr(self) -> str:
        return f"{self.bits} bits"
