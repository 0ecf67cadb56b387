"""Networks with several inputs of any type are measured like those of images."""

import pytest
import torch

from nas.hardware import LatencyConfig, Measurement, measure
from nas.hardware.examples import channels_last, ready_for
from nas.hardware.memory import peak_memory_mb
from tests.nas.two_inputs import Inverse, masked, sequences

QUICK = {"repeats": 5, "warmup_s": 0.05, "min_time_ms": 0.2}


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("torch", "fp32"), ("torch", "bf16"), ("onnxruntime", "fp32"), ("onnxruntime", "fp16"), ("onnxruntime", "int8")],
)
def test_two_inputs_of_whole_numbers_are_measured(backend: str, precision: str):
    if lacking := LatencyConfig(backend=backend).make_backend().missing("cpu"):
        pytest.skip(lacking)
    config = LatencyConfig(backend=backend, precision=precision, batch_size=3, **QUICK)
    (measured,) = measure([masked()], [sequences(2)], config)
    assert isinstance(measured, Measurement), measured
    assert measured.latency.value > 0
    assert measured.conditions.to_dict()["input_shape"] == [(5,), ()]


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_networks_are_timed_on_whole_numbers_that_can_occur(backend: str):
    if lacking := LatencyConfig(backend=backend).make_backend().missing("cpu"):
        pytest.skip(lacking)
    example = (torch.randn(2, 4), torch.tensor([3, 5]))
    (measured,) = measure([Inverse().eval()], [example], LatencyConfig(backend=backend, **QUICK))
    assert isinstance(measured, Measurement), measured


def test_memory_counts_all_inputs():
    model, inputs = masked(), sequences(400)
    more = (torch.cat([inputs[0]] * 2), torch.cat([inputs[1]] * 2))
    assert peak_memory_mb(model, more) > peak_memory_mb(model, inputs) > 8e-6 * 400 * 6


def test_only_floating_point_numbers_of_four_dimensions_have_channels_last():
    images, counts, vectors = ready_for(
        masked(), (torch.ones(2, 3, 4, 4), torch.ones(2, 3, 4, 4).long(), torch.ones(2, 3)), torch.float32
    )
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert counts.is_contiguous()
    assert counts.dtype == torch.int64
    assert channels_last(vectors) is vectors
