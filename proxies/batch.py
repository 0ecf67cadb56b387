"""The batch that a model is scored on: what the model reads, and what it loses on every example."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from proxies.scores import ScoreError

Losses = Callable[[Tensor, slice], Tensor]
"""(output of the model [n, ...], which examples of the batch it is of) -> loss of each of these examples [n]."""


@dataclass(frozen=True)
class Batch:
    """Inputs, losses and, where there are any, groups of some examples.

    Args:
        inputs: What the model is called with, `model(*inputs)`. Where the first dimension of each tensor is that of the
            examples, they can be taken apart; the nodes of a graph cannot.
        losses: Loss of each example, from the output of the model.
        groups: Class of each example, as whole numbers [B], for scores that are defined within classes.

    Raises:
        ValueError: There are no examples, a value is not finite, or groups are not those of the examples.
    """

    inputs: tuple[Tensor, ...]
    losses: Losses
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in self.inputs)
        if not self.inputs or any(tensor.dim() < 1 or not len(tensor) for tensor in self.inputs):
            raise ValueError(f"a batch is one or more tensors with examples first, got ({shapes})")
        for tensor in self.inputs:
            bad = int((~torch.isfinite(tensor)).sum())
            if bad:
                raise ValueError(f"inputs: {bad:,} of {tensor.numel():,} values are not finite (NaN or infinite)")
        if self.groups is None:
            return
        if self.groups.dim() != 1 or self.groups.is_floating_point():
            raise ValueError(f"groups are class numbers [B], got {self.groups.dtype} {tuple(self.groups.shape)}")
        if len(self.groups) != len(self):
            raise ValueError(f"a batch has groups of its {len(self)} examples, got {len(self.groups)}")

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.inputs[0])

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        """Return the batch where the model is, inputs of any floating type in that of its weights."""
        inputs = tuple(
            x.detach().to(device=device, dtype=dtype if x.is_floating_point() else x.dtype) for x in self.inputs
        )
        groups = None if self.groups is None else self.groups.detach().to(device=device, dtype=torch.int64)
        return Batch(inputs, self.losses, groups)

    def part(self, rows: slice) -> tuple[Tensor, ...]:
        """Return the inputs of some examples.

        Raises:
            ScoreError: Examples cannot be taken out of the batch.
        """
        if any(len(tensor) != len(self) for tensor in self.inputs):
            raise ScoreError(f"no examples by themselves can be taken out of inputs {self.kinds}")
        return tuple(tensor[rows] for tensor in self.inputs)

    @property
    def numbers(self) -> int:
        """How many numbers one example has."""
        return sum(prod(tensor.shape[1:]) for tensor in self.inputs)

    @property
    def only_input(self) -> Tensor:
        """The one input, of floating type.

        Raises:
            ScoreError: There are others, or it is not of numbers that could be drawn or changed a little.
        """
        if len(self.inputs) > 1 or not self.inputs[0].is_floating_point():
            raise ScoreError(f"this score is defined for one input of real numbers, the model reads {self.kinds}")
        return self.inputs[0]

    @property
    def pictures(self) -> Tensor:
        """The one input as pictures [B, C, H, W].

        Raises:
            ScoreError: The input is something else.
        """
        if self.only_input.dim() != 4:
            raise ScoreError(f"this score is defined for pictures [B, C, H, W], the model reads {self.kinds}")
        return self.only_input

    @property
    def kinds(self) -> str:
        """Shapes and types of the inputs, in words."""
        return ", ".join(f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}" for x in self.inputs)
