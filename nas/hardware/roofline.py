"""Latency without measuring: the roofline model of a device that is not at hand.

Paper: Williams, Waterman and Patterson, Roofline, Communications of the ACM 52(4), 2009: a layer takes as long as its
arithmetic or its memory traffic, whichever is longer.
Differs: each layer costs a fixed time to start as well. Norms and activations are taken as part of the layer before
them; every layer reads its weights and inputs from memory and writes its output there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.hardware.block_work import BlockWork, Layer
from search_spaces.errors import FieldError


@dataclass(frozen=True, kw_only=True)
class AnalyticDevice:
    """A device in three numbers.

    Args:
        tflops: Peak arithmetic in 1e12 operations a second; a multiply-accumulate is two.
        bandwidth_gb_s: Peak memory traffic in 1e9 bytes a second.
        overhead_us: Time to start a layer, in microseconds.
        bytes_per_number: 4 for fp32, 2 for fp16 and bf16, 1 for int8.
    """

    tflops: float
    bandwidth_gb_s: float
    overhead_us: float = 5.0
    bytes_per_number: int = 4

    def __post_init__(self) -> None:
        for field in ("tflops", "bandwidth_gb_s"):
            if not getattr(self, field) > 0:
                raise FieldError(field, f"must be more than 0, got {getattr(self, field)}")
        if self.overhead_us < 0:
            raise FieldError("overhead_us", f"must be at least 0, got {self.overhead_us}")

    def block_ms(self, work: Sequence[BlockWork], batch_size: int = 1) -> np.ndarray:
        """Time [M] of each block in ms, for a batch of so many inputs."""
        return np.array([sum(self._layer_ms(layer, batch_size) for layer in block.layers) for block in work])

    def _layer_ms(self, layer: Layer, batch_size: int) -> float:
        compute = 2e-9 * layer.macs * batch_size / self.tflops
        moved = self.bytes_per_number * (layer.weights + layer.activations * batch_size)
        return max(compute, 1e-6 * moved / self.bandwidth_gb_s) + 1e-3 * self.overhead_us
