"""Latency, memory and energy on the device."""

import pytest
import torch

from nas.hardware import LatencyConfig, Measurement, measure
from nas.hardware.checks import mistakes
from nas.hardware.memory import peak_memory_mb
from nas.hardware.power import energy_counter
from tests.nas.hardware.test_latency import EXAMPLE, QUICK, network

pytestmark = pytest.mark.gpu

BACKENDS = ("torch", "torch_compile", "cuda_graph", "onnxruntime", "tensorrt")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_measures(backend: str, precision: str, accelerator: torch.device) -> None:
    """Backends that are not installed, or not for this device, are skipped with their own words."""
    config = LatencyConfig(backend=backend, precision=precision, **QUICK)
    lacking = mistakes(config, accelerator.type)
    if lacking or (backend == "torch_compile" and accelerator.type == "cpu"):
        pytest.skip("; ".join(lacking) or "minutes long on a CPU")
    (measured,) = measure([network().to(accelerator)], [EXAMPLE], config)
    assert isinstance(measured, Measurement), str(measured)
    assert 0 < measured.latency.low <= measured.latency.value <= measured.latency.high
    assert measured.throughput_per_s > 0
    assert measured.memory_mb is None or measured.memory_mb > 0
    if accelerator.type == "cuda":
        assert torch.cuda.get_device_name() in measured.conditions.device


def test_a_larger_network_is_slower_and_takes_more_memory(accelerator: torch.device) -> None:
    def wide(channels: int) -> torch.nn.Module:
        layers = [torch.nn.Conv2d(3, channels, 3), torch.nn.ReLU(), torch.nn.Conv2d(channels, channels, 3)]
        return torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval().to(accelerator)

    batch = 16 if accelerator.type == "cuda" else 1
    example = (torch.randn(batch, 3, 64, 64),)
    small, large = measure([wide(8), wide(256)], [example] * 2, LatencyConfig(batch_size=batch, **QUICK))
    assert isinstance(small, Measurement)
    assert isinstance(large, Measurement)
    assert large.latency.value > 1.5 * small.latency.value
    there = tuple(one.to(accelerator) for one in example)
    assert peak_memory_mb(wide(256), there) > 4 * peak_memory_mb(wide(8), there)


def test_energy_is_counted_where_the_machine_counts_it(accelerator: torch.device) -> None:
    count = energy_counter(torch.cuda.current_device() if accelerator.type == "cuda" else None)
    before = count()
    if before is None:
        pytest.skip("nothing counts energy here (on CUDA, nvidia-ml-py is needed)")
    (measured,) = measure([network().to(accelerator)], [EXAMPLE], LatencyConfig(**QUICK))
    after = count()
    assert isinstance(measured, Measurement)
    assert measured.energy_mj is not None
    assert measured.energy_mj > 0
    assert after is not None
    assert after > before
