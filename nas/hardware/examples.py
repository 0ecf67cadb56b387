"""Example inputs of networks that are timed or written to files."""

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
    """Return an example as a network can take it: on its device, with floating point numbers of this type.

    Floating point numbers of four dimensions have channels last. Whole numbers stay unchanged.
    """
    device = next(model.parameters(), torch.zeros(1)).device
    return tuple(channels_last(one.to(device, dtype)) if one.is_floating_point() else one.to(device) for one in example)


def channels_last(tensor: Tensor) -> Tensor:
    """Return floating point numbers of four dimensions, such as images, with their second dimension last in memory."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
