"""A trained network with everything that a file format of it needs to be written and checked.

A format is a function ``write(deployable, path) -> record``: it writes one file, runs what it wrote, and returns what
the card of the network says about it, ready for JSON.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from nas.hardware.examples import Example, batch_of
from nas.hardware.onnx_model import input_names, onnx_bytes
from search_spaces import Architecture, Space
from supernets import require_calibrated
from supernets.tasks import Batch, Task

BATCH_SIZES = (1, 3, 8)
TOLERANCE = 1e-3
"""Of the output of a file, relative to the largest output of the network: sums in another order, and no more."""


@dataclass(frozen=True, kw_only=True)
class Deployable:
    """One trained and calibrated network; it is put in evaluation mode.

    Args:
        network: Plain, on the CPU: inputs, each [B, ...], -> one output [B, ...] of floating point numbers.
        space: Space of the architecture.
        architecture: Architecture of the network.
        examples: Example inputs, each [N, ...] as the data give it, N at least one.
        card: What is known about the network, ready for JSON; files that can hold text carry it along.
        calibration: Makes batches of training inputs, from which the ranges of activations are read.
        task: Task that judges inexact files; None where there are none.
        splits: Name -> makes batches of the task, on which such a file is compared with the network.
    """

    network: nn.Module
    space: Space
    architecture: Architecture
    examples: Example
    card: Mapping[str, Any] = field(default_factory=dict)
    calibration: Callable[[], Iterable[Example]] | None = None
    task: Task | None = None
    splits: Mapping[str, Callable[[], Iterable[Batch]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.examples or 0 in map(len, self.examples) or len(set(map(len, self.examples))) > 1:
            shapes = ", ".join(str(list(one.shape)) for one in self.examples) or "none"
            raise ValueError(f"examples must be one or more inputs [N, ...] of the same N, at least 1, got {shapes}")
        require_calibrated(self.network.eval())

    @property
    def input_names(self) -> list[str]:
        """What the inputs are called in files that name them, in order."""
        return input_names(len(self.examples))

    @cached_property
    def expected(self) -> Tensor:
        """What the network makes of the examples [N, ...].

        Raises:
            ValueError: The output is not finite.
        """
        with torch.inference_mode():
            output = self.network(*self.examples)
        if not torch.isfinite(output).all():
            raise ValueError("the network gives NaN or infinity on the example inputs, so no file of it can be checked")
        return output.clone()

    @cached_property
    def onnx(self) -> bytes:
        """The network as ONNX with any batch size, and any length where the space says so."""
        return onnx_bytes(self.network, batch_of(self.examples, 2), dynamic_batch=True, lengths=self.lengths)

    @property
    def lengths(self) -> list[Mapping[int, str]]:
        """Dimensions of each input, behind the batch, that may have any length -> names of the lengths."""
        return [one.lengths for one in self.space.inputs] or [{} for _ in self.examples]

    @cached_property
    def shorter(self) -> tuple[Example, Tensor] | None:
        """The examples cut to half of their lengths, and the output for them; None where all lengths are fixed."""
        if not any(self.lengths):
            return None
        cut = tuple(_halved(one, lengths) for one, lengths in zip(self.examples, self.lengths, strict=True))
        with torch.inference_mode():
            return cut, self.network(*cut).clone()

    def outputs(self, run: Callable[..., Tensor], size: int) -> Tensor:
        """Return the output of the written file for a batch of the examples, repeated up to `size`.

        Raises:
            ValueError: Its shape differs from the output of the network.
        """
        found = run(*batch_of(self.examples, size))
        if found.shape != (size, *self.expected.shape[1:]):
            raise ValueError(f"a batch of {size} gives an output of shape {list(found.shape)}")
        return found.detach()

    def agreement(self, run: Callable[..., Tensor], *, any_length: bool = False) -> dict[str, Any]:
        """Return how far the output of a written file is from that of the network, over several batch sizes.

        Args:
            run: Inputs [B, ...] -> output [B, ...], by what was written.
            any_length: Whether the file takes any length where the space says so; another one is then compared, too.

        Raises:
            ValueError: They differ by more than `TOLERANCE`.
        """
        largest = 0.0
        for size in BATCH_SIZES:
            (expected,) = batch_of((self.expected,), size)
            largest = max(largest, _difference(self.outputs(run, size), expected))
        if self.shorter is not None and any_length:
            inputs, expected = self.shorter
            largest = max(largest, _difference(run(*inputs), expected))
        relative = largest / max(float(self.expected.abs().max()), torch.finfo(torch.float32).tiny)
        if not relative <= TOLERANCE:
            raise ValueError(f"its output differs from that of the network by {relative:.2g}, more than {TOLERANCE:g}")
        return {"batch_sizes": list(BATCH_SIZES), "tolerance": TOLERANCE, "relative_difference": relative}


def _halved(tensor: Tensor, lengths: Iterable[int]) -> Tensor:
    """Return the first half of these dimensions, which count without the batch."""
    for place in lengths:
        tensor = tensor.narrow(place + 1, 0, max(1, tensor.shape[place + 1] // 2))
    return tensor.contiguous()


def _difference(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        raise ValueError(f"its output has shape {list(found.shape)}, that of the network {list(expected.shape)}")
    return float((found - expected).abs().nan_to_num(nan=torch.inf).max())


def describe(
    names: Sequence[str], tensors: Sequence[Tensor], lengths: Sequence[Mapping[int, str]] = ()
) -> list[dict[str, Any]]:
    """Return what a card says of inputs or outputs: their names, shapes with any batch size, and types.

    Args:
        names: Names.
        tensors: Examples of them.
        lengths: For each of them, dimensions behind the batch that may have any length -> names of the lengths.
    """
    described = []
    for name, tensor, named in zip(names, tensors, lengths or [{} for _ in tensors], strict=True):
        shape = [named.get(place, size) for place, size in enumerate(tensor.shape[1:])]
        described.append({"name": name, "shape": ["batch", *shape], "dtype": str(tensor.dtype).removeprefix("torch.")})
    return described
