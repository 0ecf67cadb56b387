"""Networks of PyTorch made ready to run and to be timed: in a precision, with an example, on their device."""

import copy
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nas.hardware.examples import Example, ready_for
from nas.hardware.timing import Network

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def in_precision(model: nn.Module, precision: str) -> nn.Module:
    """Return the network itself for the precision that it has, else a copy in evaluation mode."""
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
    """Return an example as a network of this precision takes it."""
    return ready_for(model, example, DTYPES.get(precision, torch.float32))


def torch_network(
    run: Callable[..., Any], example: Example, memory_mb: float | None, *, step: Callable[[], Any] | None = None
) -> Network:
    """Return a function of tensors, ready to be timed on their device; `step` where it is no plain call."""
    step = step or partial(run, *example)

    def finite() -> bool:
        output = run(*example)
        tensors = [output] if isinstance(output, Tensor) else [t for t in output if isinstance(t, Tensor)]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    network = Network(step, finite, memory_mb=memory_mb)
    if (device := example[0].device).type == "cuda":
        network.wait, network.clock = partial(torch.cuda.synchronize, device), time.perf_counter
    return network
