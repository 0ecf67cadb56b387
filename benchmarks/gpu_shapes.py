"""Convolutions of elastic layers for `benchmarks.gpu`: each shape the first time and again, by our kernels and torch.

In channels-last bfloat16 on CUDA: forward and backward of three shapes in a row, the first time and again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.kernels.conv2d import conv2d

BATCH, AGAIN = 64, 20
SHAPES = ((72, 32), (88, 28), (104, 22))
"""Channels and pixels; no two rows share one with the native convolution, which remembers shapes."""
WAYS: dict[str, Callable[..., Tensor]] = {"ours": conv2d, "torch": F.conv2d}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Milliseconds of forward and backward together.

    Args:
        kernel: Kernel size; 1 stands for a 1x1 convolution, others for depthwise ones.
        way: `ours` or `torch`.
        first_ms: First call of each shape.
        again_ms: Shortest later call of the last shape.
    """

    kernel: int
    way: str
    first_ms: tuple[float, ...]
    again_ms: float


def step_of(
    kernel: int, shape: tuple[int, ...], way: Callable[..., Tensor], device: torch.device
) -> Callable[[], None]:
    """Return one forward and backward of a convolution with new random numbers [batch, channels, H, W]."""
    channels, precision = shape[1], torch.bfloat16 if device.type == "cuda" else torch.float32
    x = torch.randn(shape, device=device, dtype=precision)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    groups = 1 if kernel == 1 else channels
    weight = torch.randn(channels, channels // groups, kernel, kernel, device=device, requires_grad=True)
    slope = torch.randn_like(x)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            y = way(x, weight, None, 1, kernel // 2, 1, groups)
        torch.autograd.grad(y, (x, weight), slope)

    return step


def milliseconds(work: Callable[[], object], device: torch.device) -> float:
    """Return how long some work takes, until the device is done."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    work()
    wait()
    return 1000 * (time.perf_counter() - start)


def measured(kernel: int, way: str, device: torch.device, *, batch: int = BATCH) -> Row:
    """Return a row of the table."""
    steps = [step_of(kernel, (batch, channels, side, side), WAYS[way], device) for channels, side in SHAPES]
    first = tuple(milliseconds(step, device) for step in steps)
    again = min(milliseconds(steps[-1], device) for _ in range(AGAIN))
    return Row(kernel=kernel, way=way, first_ms=first, again_ms=again)
