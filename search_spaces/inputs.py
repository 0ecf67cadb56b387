"""The inputs of the networks of a space as data: shapes and types, from which examples are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from search_spaces.architecture import Choice

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Input:
    """One tensor that a network takes.

    Args:
        shape: Its shape without the batch, for the largest architecture; such as [C, H, W] of an image.
        dtype: Name of the type, as torch calls it.
        follows: Decision -> dimensions of `shape` that its value overrides.
        values: Number of values of whole numbers: 0 to `values` - 1.
        lengths: Dimensions of `shape` that may differ from batch to batch -> names of their lengths.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    follows: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    values: int = 2
    lengths: Mapping[int, str] = field(default_factory=dict)

    def shape_for(self, architecture: Mapping[str, Choice]) -> tuple[int, ...]:
        """Return the shape without the batch, for one architecture."""
        shape = list(self.shape)
        for decision, dimensions in self.follows.items():
            if decision in architecture:
                for dimension in dimensions:
                    shape[dimension] = int(architecture[decision])
        return tuple(shape)


def images(channels: int, size: int, *, follows: str | None = None) -> tuple[Input, ...]:
    """Return one batch of square images [C, H, W]; `follows` names the decision that overrides their size in pixels."""
    return (Input((channels, size, size), follows={} if follows is None else {follows: (1, 2)}),)


def example_of(inputs: Sequence[Input], architecture: Mapping[str, Choice], batch: int) -> tuple[Tensor, ...]:
    """Return a batch of every input on the CPU, always the same: normal numbers, or whole numbers that can occur."""
    import torch

    generator = torch.Generator().manual_seed(0)
    made = []
    for one in inputs:
        shape, dtype = (batch, *one.shape_for(architecture)), getattr(torch, one.dtype)
        if dtype.is_floating_point:
            numbers = torch.randn(shape, generator=generator, device="cpu")
        else:
            numbers = torch.randint(0, one.values, shape, generator=generator, device="cpu")
        made.append(numbers.to(dtype))
    return tuple(made)
