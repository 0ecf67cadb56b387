"""ONNX with any batch size, and any length where the space says so, run in ONNX Runtime."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.export.deployable import Deployable


def write_onnx(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write the network as ONNX, its card among the metadata, and run the file in ONNX Runtime.

    Raises:
        ImportError: The exporter is not installed.
        ValueError: The file gives another output than the network.
    """
    import onnx
    import onnxruntime

    model = onnx.load_model_from_string(deployable.onnx)
    forget_sources(model)
    onnx.helper.set_model_props(model, {"card": json.dumps(deployable.card)})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return {
        "opset": next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        "checked_with": f"onnxruntime {onnxruntime.__version__}",
        **deployable.agreement(runtime(path), any_length=True),
    }


def runtime(path: Path) -> Callable[..., Tensor]:
    """Return a file as a function of its inputs [B, ...], run by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [taken.name for taken in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        feed = {name: tensor.cpu().contiguous().numpy() for name, tensor in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run


def forget_sources(model: Any) -> None:
    """Remove what the exporter notes about the code of the network: large, and it names folders of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
    for part in (model, graph, *graph.node):
        part.doc_string = ""
