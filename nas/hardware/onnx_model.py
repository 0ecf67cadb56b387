"""A plain network as ONNX, for runtimes that measure or serve it."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from nas.hardware.examples import Example, batch_of
from nas.hardware.runtimes import EXAMPLE

NEEDS = ("onnx", "onnxscript")
OLDEST_TORCH = "2.8"
"""Older exporters fix the batch size of some networks."""
INSTALL = "pip install 'espalier-nas[onnx]'"


def onnx_bytes(
    model: nn.Module, example: Example, *, dynamic_batch: bool = False, lengths: Sequence[Mapping[int, str]] = ()
) -> bytes:
    """Return the network in evaluation mode as the bytes of an ONNX file, with one `output`.

    Its one input is called `input`; several are `input1`, `input2` and so on.

    Args:
        model: A plain network; its mode is restored.
        example: What it is called with; whole numbers of it are kept in the file, to time it on.
        dynamic_batch: Any batch size instead of that of the example.
        lengths: With it, for each input: dimensions behind the batch that may have any length -> names of the lengths.

    Raises:
        ImportError: The exporter is not installed; the message says how to install it.
    """
    _require_exporter()
    parameter = next(model.parameters(), torch.zeros(1))
    if dynamic_batch:
        example = batch_of(example, max(2, len(example[0])))  # a batch of one is taken for a constant
    given = tuple(
        torch.zeros(one.shape, device=parameter.device, dtype=parameter.dtype if one.is_floating_point() else one.dtype)
        for one in example
    )
    was_training = model.training
    model.eval()
    try:
        program = torch.onnx.export(
            model,
            given,
            dynamo=True,
            input_names=input_names(len(given)),
            output_names=["output"],
            dynamic_shapes=any_shapes(len(given), lengths) if dynamic_batch else None,
            verbose=False,
        )
    finally:
        model.train(was_training)
    assert program is not None
    file = program.model_proto  # made again whenever it is asked for
    if not dynamic_batch:
        _keep_whole_numbers(file, example)
    return file.SerializeToString()


def any_shapes(inputs: int, lengths: Sequence[Mapping[int, str]] = ()) -> tuple[dict[int, Any], ...]:
    """Return the dimensions of each input that may have any size, by name."""
    named = [{place + 1: name for place, name in of.items()} for of in lengths] or [{}] * inputs
    return tuple({0: "batch", **own} for own in named)


def _require_exporter() -> None:
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"{' and '.join(missing)} not installed, needed to export to ONNX: {INSTALL}")
    if torch.__version__ < OLDEST_TORCH:
        raise ImportError(f"torch {OLDEST_TORCH} or newer is needed to export to ONNX, this is {torch.__version__}")


def _keep_whole_numbers(file: Any, example: Example) -> None:
    """Write whole numbers to time the network on into its file: not every one of them can occur."""
    for name, one in zip(input_names(len(example)), example):
        if not one.is_floating_point():
            file.metadata_props.add(key=EXAMPLE + name, value=json.dumps(one.tolist()))


def input_names(number: int) -> list[str]:
    """Return the names of the inputs of a file, in order."""
    return ["input"] if number == 1 else [f"input{i}" for i in range(1, number + 1)]
