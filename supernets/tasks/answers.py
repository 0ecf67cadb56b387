"""The outputs of a network for batches, by which it is judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from supernets.tasks.task import Batch

if TYPE_CHECKING:
    from torch import Tensor, nn


def answers(model: nn.Module, batches: Iterable[Batch], none: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the output [B, ...] and the targets [B, ...] of each batch; never waits for the device.

    Args:
        model: Called with all tensors of a batch but the last.
        batches: The batches.
        none: What is said where there are no examples.

    Raises:
        ValueError: The model is not calibrated, or there are no examples.
    """
    import torch

    from supernets.calibration import require_calibrated

    require_calibrated(model)
    model.eval()
    seen = 0
    for *inputs, targets in batches:
        with torch.inference_mode():
            output = model(*inputs)
        seen += len(targets)
        yield output, targets
    if not seen:
        raise ValueError(none)
