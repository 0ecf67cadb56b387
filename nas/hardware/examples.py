"""What networks are called with while they are timed or written to files."""

import torch
from torch import Tensor, nn

Example = tuple[Tensor, ...]
"""The inputs of a network in order, each [B, ...]."""


def batch_of(example: Example, size: int) -> Example:
    """Return a batch of this size, of the rows of an example again and again."""
    return tuple(one[torch.arange(size, device=one.device) % len(one)] for one in example)


def shape_of(example: Example) -> tuple[int, ...] | tuple[tuple[int, ...], ...]:
    """Return the shape of the input without the batch, such as [C, H, W]; the shapes of several inputs."""
    shapes = tuple(tuple(one.shape[1:]) for one in example)
    return shapes[0] if len(shapes) == 1 else shapes


def ready_for(model: nn.Module, example: Example, dtype: torch.dtype) -> Example:
    """Return an example where a network can take it: on its device, numbers of this type, images with channels last.

    Whole numbers stay what they are.
    """
    device = next(model.parameters(), torch.zeros(1)).device
    made = []
    for one in example:
        there = one.to(device, dtype) if one.is_floating_point() else one.to(device)
        made.append(there.contiguous(memory_format=torch.channels_last) if there.dim() == 4 else there)
    return tuple(made)
