"""A trained network with everything that a file format of it needs to be written and checked.

A format is a function ``write(deployable, path) -> record``: it writes one file, runs what it wrote, and returns what
the card of the network says about it, ready for JSON.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from nas.hardware.onnx_model import onnx_bytes
from search_spaces import Architecture, Space
from supernets import require_calibrated

Batch = tuple[Tensor, Tensor]
BATCH_SIZES = (1, 3, 8)
TOLERANCE = 1e-3
"""Of the logits of a file, relative to the largest logit of the network: float32 sums in another order, and no more."""


@dataclass(frozen=True, kw_only=True)
class Deployable:
    """One trained and calibrated network; it is put in evaluation mode.

    Args:
        network: Plain, float32, on the CPU: inputs [B, ...] -> outputs [B, ...].
        space: What the architecture is of.
        architecture: What the network is.
        examples: Inputs [N, ...] as the data give them, at least one.
        card: What is known about the network, ready for JSON; files that can hold text carry it along.
        calibration: Makes training images [B, C, H, W], from which the ranges of activations are read.
        splits: Name -> makes images [B, C, H, W] with labels [B], on which accuracies are compared.
    """

    network: nn.Module
    space: Space
    architecture: Architecture
    examples: Tensor
    card: Mapping[str, Any] = field(default_factory=dict)
    calibration: Callable[[], Iterable[Tensor]] | None = None
    splits: Mapping[str, Callable[[], Iterable[Batch]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.examples.dim() < 2 or not len(self.examples):
            raise ValueError(f"examples must be at least one input [N, ...], got {list(self.examples.shape)}")
        require_calibrated(self.network.eval())

    @property
    def input_shape(self) -> tuple[int, ...]:
        """[C, H, W] of one input."""
        return tuple(self.examples.shape[1:])

    @property
    def classes(self) -> int:
        """Number of outputs."""
        return self.expected.shape[1]

    @cached_property
    def expected(self) -> Tensor:
        """What the network makes of the examples: logits [N, classes].

        Raises:
            ValueError: They are not finite.
        """
        with torch.inference_mode():
            logits = self.network(self.examples)
        if not torch.isfinite(logits).all():
            raise ValueError("the network gives NaN or infinity on the example inputs, so no file of it can be checked")
        return logits.clone()

    @cached_property
    def onnx(self) -> bytes:
        """The network as ONNX with any batch size."""
        return onnx_bytes(self.network, (self.examples[:2],), dynamic_batch=True)

    def agreement(self, run: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """How far logits of a written file are from those of the network, over several batch sizes.

        Args:
            run: Inputs [B, C, H, W] -> logits [B, classes], by what was written.

        Raises:
            ValueError: Further than `TOLERANCE`.
        """
        expected, largest = self.expected, 0.0
        for size in BATCH_SIZES:
            rows = torch.arange(size) % len(self.examples)
            found = run(self.examples[rows])
            if found.shape != (size, self.classes):
                raise ValueError(f"a batch of {size} gives logits of shape {list(found.shape)}")
            largest = max(largest, float((found.detach() - expected[rows]).abs().nan_to_num(nan=torch.inf).max()))
        relative = largest / max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
        if not relative <= TOLERANCE:
            raise ValueError(f"its logits differ from those of the network by {relative:.2g}, more than {TOLERANCE:g}")
        return {"batch_sizes": list(BATCH_SIZES), "tolerance": TOLERANCE, "relative_difference": relative}
