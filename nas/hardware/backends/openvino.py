"""OpenVINO on the processor."""

import importlib.metadata
import time

import numpy as np
from torch import nn

from nas.hardware.backends import not_installed
from nas.hardware.config import LatencyConfig
from nas.hardware.examples import Example
from nas.hardware.onnx_model import NEEDS, onnx_bytes
from nas.hardware.runtimes import resident_mb
from nas.hardware.timing import Network

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


class Backend:
    """OpenVINO, tuned for the latency of one pass."""

    precisions: tuple[str, ...] = tuple(HINTS)
    devices: tuple[str, ...] = ("cpu",)
    runtime: str | None = None

    def missing(self, device: str) -> str | None:
        return not_installed(*NEEDS, "openvino", install="pip install 'espalier-nas[openvino]'")

    def version(self) -> str:
        return f"openvino {importlib.metadata.version('openvino')}"

    def prepare(self, model: nn.Module, example: Example, config: LatencyConfig) -> Network:
        import openvino

        before = resident_mb()
        settings = {
            "INFERENCE_NUM_THREADS": config.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": HINTS[config.precision],
        }
        core = openvino.Core()
        request = core.compile_model(
            core.read_model(onnx_bytes(model, example)), "CPU", settings
        ).create_infer_request()
        for i, one in enumerate(example):
            request.set_input_tensor(i, openvino.Tensor(one.contiguous().numpy(), shared_memory=True))

        def finite() -> bool:
            network.memory_mb = max(0.0, resident_mb() - before)
            return bool(np.isfinite(request.get_output_tensor().data).all())

        # one thread of its own works, so the time of the process is the time of the pass, whatever else runs
        clock = time.process_time if config.threads == 1 else time.perf_counter
        network = Network(request.infer, finite, cancel=request.cancel, clock=clock)
        return network

    def export(self, model: nn.Module, example: Example, config: LatencyConfig) -> bytes:
        raise NotImplementedError
