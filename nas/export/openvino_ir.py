"""The format of OpenVINO: `model.xml` with the layers and `model.bin` with the weights, for Intel's processors."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.export.deployable import Deployable


def write_openvino(deployable: Deployable, path: Path) -> dict[str, Any]:
    """Write the network with any batch size and weights of 32 bits, and run the files on the processor.

    The weights are written beside `path`, with the ending `.bin`.

    Raises:
        ImportError: OpenVINO or the exporter of ONNX is not installed.
        ValueError: The files give another output than the network.
    """
    import openvino

    openvino.save_model(openvino.convert_model(BytesIO(deployable.onnx)), str(path), compress_to_fp16=False)
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(*inputs: Tensor) -> Tensor:
        found = compiled([tensor.contiguous().numpy() for tensor in inputs])
        return torch.from_numpy(found[0].copy())

    return {"checked_with": f"openvino {openvino.__version__}", **deployable.agreement(run)}
