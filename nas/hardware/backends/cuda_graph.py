"""PyTorch on CUDA with the whole pass captured as one graph: no launch of single kernels."""

import torch
from torch import nn

from nas.hardware import eager
from nas.hardware.config import LatencyConfig
from nas.hardware.examples import Example
from nas.hardware.memory import peak_memory_mb
from nas.hardware.timing import Network


class Backend:
    """A backend that replays a captured CUDA graph."""

    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16")
    devices: tuple[str, ...] = ("cuda",)
    runtime: str | None = None

    def missing(self, device: str) -> str | None:
        return None

    def version(self) -> str:
        return f"torch {torch.__version__} CUDA graph"

    def prepare(self, model: nn.Module, example: Example, config: LatencyConfig) -> Network:
        model = eager.in_precision(model, config.precision)
        example = eager.example_in(model, example, config.precision)
        memory_mb = peak_memory_mb(model, example)
        with torch.cuda.device(example[0].device), torch.inference_mode():
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):  # libraries choose their kernels and take their memory outside the capture
                    model(*example)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                output = model(*example)
        network = eager.torch_network(model, example, memory_mb, step=graph.replay)
        network.finite = lambda: bool(torch.isfinite(output).all())
        return network

    def export(self, model: nn.Module, example: Example, config: LatencyConfig) -> bytes:
        raise NotImplementedError
