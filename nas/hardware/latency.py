"""Latency of plain networks on this machine.

Repeats of all networks are interleaved, so that a machine that slows down for a while slows all of them alike, and
the median with its order-statistics interval is reported, which a few disturbed repeats do not move.
"""

import platform
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class LatencyConfig:
    """How latency is measured.

    Args:
        batch_size: Images of one forward pass.
        threads: CPU threads of one forward pass.
        repeats: Timed repeats of each network.
        warmup_s: Longest warm-up of each network in seconds; it ends earlier once the times have settled.
        min_time_ms: Forward passes are timed in groups at least this long.
    """

    batch_size: int = 1
    threads: int = 1
    repeats: int = 25
    warmup_s: float = 0.5
    min_time_ms: float = 2.0

    def __post_init__(self) -> None:
        for field, least in (("batch_size", 1), ("threads", 1), ("repeats", 5), ("warmup_s", 0), ("min_time_ms", 0)):
            if getattr(self, field) < least:
                raise ValueError(f"{field} must be at least {least}, got {getattr(self, field)}")


@torch.inference_mode()
def measure_latency(
    models: Sequence[nn.Module], input_shapes: Sequence[tuple[int, ...]], config: LatencyConfig, *, rounds: int = 1
) -> list[Estimate]:
    """Median latency of each network in milliseconds per forward pass, with a 95% interval.

    Args:
        models: Networks on one device; they are put in evaluation mode.
        input_shapes: Shape [C, H, W] of one input for each network.
        config: How to measure.
        rounds: Multiplies the repeats.
    """
    runs = [_Run(model.eval(), shape, config) for model, shape in zip(models, input_shapes)]
    with _threads(config.threads):
        for run in runs:
            run.warm_up(config)
        times = np.array([[run.time_ms() for run in runs] for _ in range(config.repeats * rounds)])
    return [median_interval(column) for column in times.T]


def median_interval(samples: np.ndarray) -> Estimate:
    """Median of samples [N] and the order statistics that bound it with 95% confidence, whatever the distribution."""
    ordered = np.sort(samples)
    n = len(ordered)
    reach = 0.98 * sqrt(n)
    low, high = max(0, int(np.floor(n / 2 - reach)) - 1), min(n - 1, int(np.ceil(n / 2 + reach)))
    return Estimate(float(np.median(ordered)), float(ordered[low]), float(ordered[high]))


class _Run:
    """One network with its input, timed in groups of passes."""

    def __init__(self, model: nn.Module, shape: tuple[int, ...], config: LatencyConfig) -> None:
        parameter = next(model.parameters())
        self.model = model
        self.on_cuda = parameter.is_cuda
        images = torch.randn(config.batch_size, *shape, device=parameter.device, dtype=parameter.dtype)
        self.images: Tensor = images.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else images
        self.passes = 1

    def time_ms(self) -> float:
        self._wait()
        start = time.perf_counter()
        for _ in range(self.passes):
            self.model(self.images)
        self._wait()
        return 1e3 * (time.perf_counter() - start) / self.passes

    def warm_up(self, config: LatencyConfig) -> None:
        """Run until five times agree with the five before them, then fix how many passes make a group."""
        end = time.perf_counter() + config.warmup_s
        times = [self.time_ms()]
        while time.perf_counter() < end:
            times.append(self.time_ms())
            if len(times) >= 12 and abs(np.median(times[-5:]) / np.median(times[-10:-5]) - 1) < 0.03:
                break
        self.passes = max(1, int(np.ceil(config.min_time_ms / max(np.median(times[-5:]), 1e-6))))

    def _wait(self) -> None:
        if self.on_cuda:
            torch.cuda.synchronize()


@contextmanager
def _threads(n: int):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_name(device: torch.device) -> str:
    """What a person calls the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def conditions(device: torch.device, input_shape: tuple[int, ...], config: LatencyConfig) -> dict[str, Any]:
    """What a latency depends on, written beside every number."""
    return {
        "device": device_name(device),
        "backend": f"torch {torch.__version__} eager",
        "batch_size": config.batch_size,
        "threads": config.threads,
        "precision": "fp32",
        "input_shape": list(input_shape),
    }
