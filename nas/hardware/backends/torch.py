"""PyTorch without compilation, operation by operation."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from nas.hardware.config import LatencyConfig
from nas.hardware.timing import Network

if TYPE_CHECKING:
    from torch import nn

    from nas.hardware.examples import Example


class Backend:
    """Eager PyTorch; int8 quantises linear layers, which is all that PyTorch quantises dynamically."""

    precisions: tuple[str, ...] = ("fp32", "bf16", "fp16", "int8")
    devices: tuple[str, ...] = ("cpu", "cuda")
    runtime: str | None = "torch"

    def missing(self, device: str) -> str | None:
        return None

    def version(self) -> str:
        import torch

        return f"torch {torch.__version__} eager"

    def prepare(self, model: nn.Module, example: Example, config: LatencyConfig) -> Network:
        from nas.hardware.eager import example_in, in_precision, torch_network
        from nas.hardware.memory import peak_memory_mb

        model = in_precision(model, config.precision)
        example = example_in(model, example, config.precision)
        return torch_network(model, example, peak_memory_mb(model, example))

    def export(self, model: nn.Module, example: Example, config: LatencyConfig) -> bytes:
        import torch

        from nas.hardware.eager import example_in, in_precision

        if config.precision == "int8":
            raise ValueError("precision int8 of torch cannot be exported for another machine; use onnxruntime")
        model = in_precision(model, config.precision)
        example = example_in(model, example, config.precision)
        file = io.BytesIO()
        torch.export.save(torch.export.export(model, example), file)
        return file.getvalue()
