"""PyTorch as it is, operation by operation."""

import copy
import io
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nas.hardware.config import LatencyConfig
from nas.hardware.examples import Example, ready_for
from nas.hardware.memory import peak_memory_mb
from nas.hardware.timing import Network

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Backend:
    """Eager PyTorch; int8 quantises linear layers, which is all that PyTorch quantises dynamically."""

    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16", "int8")
    devices: tuple[str, ...] = ("cpu", "cuda")
    runtime: str | None = "torch"

    def missing(self, device: str) -> str | None:
        return None

    def version(self) -> str:
        return f"torch {torch.__version__} eager"

    def prepare(self, model: nn.Module, example: Example, config: LatencyConfig) -> Network:
        model = in_precision(model, config.precision)
        example = example_in(model, example, config.precision)
        return torch_network(model, example, peak_memory_mb(model, example))

    def export(self, model: nn.Module, example: Example, config: LatencyConfig) -> bytes:
        if config.precision == "int8":
            raise ValueError("precision int8 of torch cannot be exported for another machine; use onnxruntime")
        model = in_precision(model, config.precision)
        example = example_in(model, example, config.precision)
        file = io.BytesIO()
        torch.export.save(torch.export.export(model, example), file)
        return file.getvalue()


def in_precision(model: nn.Module, precision: str) -> nn.Module:
    """The network itself for the precision that it has, else a copy in evaluation mode."""
    if precision == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch.ao.quantization import quantize_dynamic

            return quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    parameter = next(model.parameters(), None)
    if parameter is None or parameter.dtype == DTYPES[precision]:
        return model
    return copy.deepcopy(model).to(DTYPES[precision])


def example_in(model: nn.Module, example: Example, precision: str) -> Example:
    """An example as a network of this precision takes it."""
    return ready_for(model, example, DTYPES.get(precision, torch.float32))


def torch_network(
    run: Callable[..., Any], example: Example, memory_mb: float | None, *, step: Callable[[], Any] | None = None
) -> Network:
    """A function of tensors, ready to be timed on their device; `step` where it is no plain call."""
    step = step or partial(run, *example)

    def finite() -> bool:
        output = run(*example)
        tensors = [output] if isinstance(output, Tensor) else [t for t in output if isinstance(t, Tensor)]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    network = Network(step, finite, memory_mb=memory_mb)
    if (device := example[0].device).type == "cuda":
        network.wait, network.clock = partial(torch.cuda.synchronize, device), time.perf_counter
    return network
