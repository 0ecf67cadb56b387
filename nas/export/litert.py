"""LiteRT (formerly TensorFlow Lite), for phones and small boards."""

import contextlib
import io
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.export.deployable import Deployable
from nas.hardware.examples import batch_of


def write_litert(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write the network for batches of one as a `.tflite`, and run the file by LiteRT.

    Raises:
        ImportError: The converter or the runtime is not installed.
        ValueError: The file gives another output than the network.
    """
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        converted = litert_torch.convert(deployable.network, batch_of(deployable.examples, 1))
        converted.export(str(path))
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    places = [taken["index"] for taken in interpreter.get_input_details()]
    (given,) = interpreter.get_output_details()

    def run(*inputs: Tensor) -> Tensor:
        rows = []
        for row in zip(*inputs, strict=True):
            for place, tensor in zip(places, row, strict=True):
                interpreter.set_tensor(place, tensor[None].contiguous().numpy())
            interpreter.invoke()
            rows.append(torch.from_numpy(interpreter.get_tensor(given["index"]).copy()))
        return torch.cat(rows)

    return {"batch": 1, "checked_with": f"ai-edge-litert {version('ai-edge-litert')}", **deployable.agreement(run)}
