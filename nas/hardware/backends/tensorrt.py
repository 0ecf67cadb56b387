"""TensorRT on CUDA."""

import importlib.metadata
import time
from typing import Any

import torch
from torch import nn

from nas.hardware.backends import not_installed
from nas.hardware.config import LatencyConfig
from nas.hardware.examples import Example
from nas.hardware.onnx_model import INSTALL, NEEDS, input_names, onnx_bytes
from nas.hardware.timing import Network


class Backend:
    """An engine that TensorRT builds for this device; buffers and stream are those of PyTorch."""

    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16")
    devices: tuple[str, ...] = ("cuda",)
    runtime: str | None = None

    def missing(self, device: str) -> str | None:
        return not_installed("tensorrt", install="pip install tensorrt") or not_installed(*NEEDS, install=INSTALL)

    def version(self) -> str:
        return f"tensorrt {importlib.metadata.version('tensorrt')}"

    def prepare(self, model: nn.Module, example: Example, config: LatencyConfig) -> Network:
        import tensorrt

        from nas.hardware.eager import example_in, in_precision

        parameter = next(model.parameters())
        model = in_precision(model, config.precision)  # a strongly typed network computes in the types it was given
        inputs = tuple(one.contiguous() for one in example_in(model, example, config.precision))
        with torch.cuda.device(parameter.device):
            engine = _engine(tensorrt, onnx_bytes(model, example))
            context = engine.create_execution_context()
            with torch.inference_mode():
                output = torch.empty_like(model(*inputs)).contiguous()
            for name, one in zip(input_names(len(inputs)), inputs):
                context.set_tensor_address(name, one.data_ptr())
            context.set_tensor_address("output", output.data_ptr())
            stream = torch.cuda.Stream()
        memory_mb = (engine.device_memory_size_v2 + sum(one.nbytes for one in inputs) + output.nbytes) / 1e6
        held = (engine, inputs)  # they must outlive the context, which knows their addresses only

        def step() -> None:
            if not context.execute_async_v3(stream.cuda_stream):
                raise RuntimeError("TensorRT could not run the engine")

        def finite() -> bool:
            stream.synchronize()
            return bool(held) and bool(torch.isfinite(output).all())

        return Network(step, finite, wait=stream.synchronize, memory_mb=memory_mb, clock=time.perf_counter)

    def export(self, model: nn.Module, example: Example, config: LatencyConfig) -> bytes:
        raise NotImplementedError


def _engine(tensorrt: Any, model: bytes) -> Any:
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(logger)
    network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse(model):
        raise RuntimeError(f"TensorRT cannot read the network: {parser.get_error(0)}")
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    if plan is None:
        raise RuntimeError("TensorRT cannot build the network")
    return tensorrt.Runtime(logger).deserialize_cuda_engine(plan)
