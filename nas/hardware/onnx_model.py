"""A plain network as ONNX, for runtimes that measure or serve it."""

import importlib.util

import torch
from torch import nn

NEEDS = ("onnx", "onnxscript")
INSTALL = "pip install 'espalier[onnx]'"


def onnx_bytes(model: nn.Module, input_shape: tuple[int, ...], *, dynamic_batch: bool = False) -> bytes:
    """The network in evaluation mode as the bytes of an ONNX file, with one `input` and one `output`.

    Args:
        model: A plain network of one input; its mode is put back.
        input_shape: Of the example input with its batch, [B, C, H, W].
        dynamic_batch: Any batch size instead of the B of the example.

    Raises:
        ImportError: The exporter is not installed; says how to install it.
    """
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"{' and '.join(missing)} not installed, needed to export to ONNX: {INSTALL}")
    parameter = next(model.parameters(), torch.zeros(1))
    batch = max(2, input_shape[0]) if dynamic_batch else input_shape[0]  # a batch of one is taken for a constant
    example = torch.zeros(batch, *input_shape[1:], device=parameter.device, dtype=parameter.dtype)
    was_training = model.training
    model.eval()
    try:
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: "batch"},) if dynamic_batch else None,
            verbose=False,
        )
    finally:
        model.train(was_training)
    assert program is not None
    return program.model_proto.SerializeToString()
