"""PyTorch compiled by `torch.compile`."""

import shutil

import torch
from torch import nn

from nas.hardware import eager
from nas.hardware.config import LatencyConfig
from nas.hardware.examples import Example
from nas.hardware.memory import peak_memory_mb
from nas.hardware.timing import Network


class Backend:
    """Inductor; the compilation belongs to the preparation, not to the latency."""

    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16")
    devices: tuple[str, ...] = ("cpu", "cuda")
    runtime: str | None = None

    def missing(self, device: str) -> str | None:
        if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
            return "no C++ compiler, which torch.compile needs, is installed: apt-get install g++"
        return None

    def version(self) -> str:
        return f"torch {torch.__version__} compiled"

    def prepare(self, model: nn.Module, example: Example, config: LatencyConfig) -> Network:
        model = eager.in_precision(model, config.precision)
        example = eager.example_in(model, example, config.precision)
        memory_mb = peak_memory_mb(model, example)
        torch._dynamo.reset()  # networks of one class would share, and soon exhaust, one cache of compiled versions
        compiled = torch.compile(model, dynamic=False)
        with torch.inference_mode():
            compiled(*example)
        return eager.torch_network(compiled, example, memory_mb)

    def export(self, model: nn.Module, example: Example, config: LatencyConfig) -> bytes:
        raise NotImplementedError
