"""ONNX Runtime, on the processor or on CUDA."""

import logging
import tempfile
from pathlib import Path

from torch import nn

from nas.hardware import eager
from nas.hardware.backends import not_installed
from nas.hardware.config import LatencyConfig
from nas.hardware.examples import Example
from nas.hardware.onnx_model import INSTALL, NEEDS, onnx_bytes
from nas.hardware.runtimes import open_onnx, runtime_version
from nas.hardware.timing import Network


class Backend:
    """ONNX Runtime; int8 quantises weights, and activations at every pass."""

    precisions: tuple[str, ...] = ("fp32", "fp16", "int8")
    devices: tuple[str, ...] = ("cpu", "cuda")
    runtime: str | None = "onnxruntime"

    def missing(self, device: str) -> str | None:
        lacking = not_installed(*NEEDS, "onnxruntime", install=INSTALL)
        if lacking is None and device == "cuda":
            import onnxruntime

            if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
                return "onnxruntime for CUDA is not installed: pip install onnxruntime-gpu"
        return lacking

    def version(self) -> str:
        return runtime_version("onnxruntime")

    def prepare(self, model: nn.Module, example: Example, config: LatencyConfig) -> Network:
        cuda = next((parameter.is_cuda for parameter in model.parameters()), False)
        return open_onnx(self.export(model, example, config), config.threads, cuda=cuda)

    def export(self, model: nn.Module, example: Example, config: LatencyConfig) -> bytes:
        if config.precision == "int8":
            return quantised(onnx_bytes(model, example))
        return onnx_bytes(eager.in_precision(model, config.precision), example)


def quantised(model: bytes) -> bytes:
    """Return an ONNX model with weights in 8 bits, whose activations are quantised at every pass."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().addFilter(_no_advice)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            # only unsigned weights have a fast convolution in ONNX Runtime on every processor
            network = onnx.load_from_string(model)
            del network.graph.value_info[:]  # inferred again: weights in a new layout have other shapes
            quantize_dynamic(network, path, weight_type=QuantType.QUInt8)
            return path.read_bytes()
    finally:
        logging.getLogger().removeFilter(_no_advice)


def _no_advice(record: logging.LogRecord) -> bool:
    """Drop the advice to preprocess the model, which the exporter has done."""
    return "pre-processing before quantization" not in record.getMessage()
