"""What a GPU takes for the convolutions of elastic layers: each shape the first time and again, beside cuDNN.

    python -m benchmarks.gpu [--json FILE]

Each row is one kernel size, in channels-last bfloat16 with batches of 64: forward and backward of three shapes in a
row, the first time and again, by our kernels and by the convolution of torch. It prints one line where there is no GPU.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.kernels.conv2d import conv2d
from supernets.device import computing

BATCH, AGAIN = 64, 20
SHAPES = ((72, 32), (88, 28), (104, 22))
"""Channels and pixels; no two rows share one with the native convolution, which remembers shapes."""


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


def step_of(kernel: int, channels: int, pixels: int, way: Callable[..., Tensor]) -> Callable[[], None]:
    """Return one forward and backward of a convolution with new random numbers."""
    x = torch.randn(BATCH, channels, pixels, pixels, device="cuda", dtype=torch.bfloat16)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    groups = 1 if kernel == 1 else channels
    weight = torch.randn(channels, channels // groups, kernel, kernel, device="cuda", requires_grad=True)
    slope = torch.randn_like(x)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            y = way(x, weight, None, 1, kernel // 2, 1, groups)
        torch.autograd.grad(y, (x, weight), slope)

    return step


def milliseconds(step: Callable[[], None]) -> float:
    """Return how long a step takes, until the device is done."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def measured(kernel: int, name: str, way: Callable[..., Tensor]) -> Row:
    """Return a row of the table."""
    steps = [step_of(kernel, channels, pixels, way) for channels, pixels in SHAPES]
    first = tuple(milliseconds(step) for step in steps)
    return Row(kernel=kernel, way=name, first_ms=first, again_ms=min(milliseconds(steps[-1]) for _ in range(AGAIN)))


def main() -> None:
    """Print the table, and write it as JSON where asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="file that the rows are written to")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("nothing measured: PyTorch finds no GPU here")
        return
    rows = []
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
    print(f"{'kernel':>6} {'way':>6} {'first of three shapes, ms':>30} {'again, ms':>10}")
    with computing(torch.device("cuda")):
        for kernel in (3, 5, 7, 1):
            for name, way in (("ours", conv2d), ("torch", F.conv2d)):
                rows.append(row := measured(kernel, name, way))
                firsts = " ".join(f"{one:.1f}" for one in row.first_ms)
                print(f"{kernel:>6} {name:>6} {firsts:>30} {row.again_ms:>10.3f}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
