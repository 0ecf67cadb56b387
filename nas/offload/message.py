"""What a device sends, as bytes without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from search_spaces.wire_bits import BITS, WHOLE_BITS, sent_bytes


@dataclass(frozen=True)
class Message:
    """The form of what is sent for one input; both sides know it, so that nothing else is sent.

    Args:
        shape: Shape of the numbers, such as [c, h, w].
        bits: Bits of each number: 1 to 8 for whole numbers, 32 for numbers of single precision.
    """

    shape: Sequence[int]
    bits: int

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise ValueError(f"bits must be one of {', '.join(map(str, BITS))}, got {self.bits}")

    @property
    def length(self) -> int:
        """Bytes of one input."""
        return sent_bytes(prod(self.shape), self.bits)

    def packed(self, codes: Tensor) -> bytes:
        """Return codes [B, ...] as bytes, one input after the other."""
        rows = codes.detach().cpu().contiguous().reshape(len(codes), -1).numpy()
        if self.bits == WHOLE_BITS:
            return rows.astype("<f4").tobytes()
        places = np.arange(self.bits - 1, -1, -1, dtype=np.uint8)
        ones = (rows.astype(np.uint8)[:, :, None] >> places) & 1
        return np.packbits(ones.reshape(len(rows), -1), axis=1).tobytes()

    def unpacked(self, content: bytes) -> Tensor:
        """Return the codes [B, ...] of bytes.

        Raises:
            ValueError: They are no whole number of inputs.
        """
        if not content or len(content) % self.length:
            raise ValueError(f"a message has {self.length} bytes for each input, got {len(content)} bytes")
        count, numbers = len(content) // self.length, prod(self.shape)
        if self.bits == WHOLE_BITS:
            return torch.from_numpy(np.frombuffer(content, "<f4").reshape(count, *self.shape).copy())
        rows = np.frombuffer(content, np.uint8).reshape(count, self.length)
        ones = np.unpackbits(rows, axis=1, count=numbers * self.bits).reshape(count, numbers, self.bits)
        places = 1 << np.arange(self.bits - 1, -1, -1)
        return torch.from_numpy((ones @ places).astype(np.uint8).reshape(count, *self.shape))
