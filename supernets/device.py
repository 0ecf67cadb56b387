"""How CUDA computes while networks are trained or judged, and how tensors get there: the one place for such settings.

* **Layout.** Images and networks are channels-last: tensor cores want it, and 1x1 convolutions become matrix products.
* **cuDNN's benchmark is off.** It times several algorithms for each new shape, and an elastic network meets new shapes
  at every step.
* **TF32.** Matrix products of float32 follow what `torch.backends.cudnn.allow_tf32` says of convolutions, TF32 by
  default: 1x1 convolutions are matrix products here, and should not change by that.
* **Sums in float32.** Parts of a long sum of bfloat16 products are not rounded before they are added up. Gradients of
  weights are such sums, over all pixels of a batch.
* **Copies** to CUDA go through pinned memory, so that the CPU does not wait for them.

Latency is measured outside of this, under the settings of torch. Nothing here touches what a CPU computes.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces.kernels.conv2d import kernels_in, own_kernels
from supernets.fitting import divided_where_needed


@contextmanager
def computing(device: torch.device, *, kernels: bool = True) -> Iterator[None]:
    """Set how a device computes; everything is as it was afterwards.

    Args:
        device: Device of the networks.
        kernels: Whether convolutions of elastic layers may use kernels of our own, see `search_spaces.kernels`.
    """
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    with ExitStack() as stack:
        stack.enter_context(own_kernels(kernels))
        _set(stack, cudnn, "benchmark", False)
        _set(stack, matmul, "allow_tf32", cudnn.allow_tf32)
        _set(stack, matmul, "allow_bf16_reduced_precision_reduction", False)
        _set(stack, matmul, "allow_fp16_reduced_precision_reduction", False)
        yield


@contextmanager
def judging(network: nn.Module, *, bf16: bool = False) -> Iterator[None]:
    """Set how a plain network is calibrated and judged: its convolutions are those of elastic layers meanwhile.

    On CUDA, a batch that does not fit into memory is judged in parts.

    Args:
        network: The network.
        bf16: Whether CUDA computes in bfloat16 autocast.
    """
    device = next(network.parameters(), torch.zeros(())).device
    fitted = divided_where_needed(network) if device.type == "cuda" else nullcontext()
    cast = in_bf16(device, bf16) if bf16 else nullcontext()
    with computing(device), kernels_in(network), cast, fitted:
        yield


def in_bf16(device: torch.device, enabled: bool) -> torch.autocast:
    """Return bfloat16 autocast on CUDA, where enabled; elsewhere everything is computed in the type it has."""
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled and device.type == "cuda")


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device; from the CPU to CUDA through pinned memory, so that the CPU does not wait."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _set(stack: ExitStack, where: Any, name: str, value: Any) -> None:
    """Set a flag until the stack ends."""
    stack.callback(setattr, where, name, getattr(where, name))
    setattr(where, name, value)
