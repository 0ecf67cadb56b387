"""Latency measurement."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from nas.hardware.latency import LatencyConfig, conditions, measure_latency, median_interval


class Sleeper(nn.Module):
    """A network that takes a known time."""

    def __init__(self, ms: float) -> None:
        super().__init__()
        self.ms = ms
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        time.sleep(self.ms / 1000)
        return x


def test_known_times_are_measured():
    quick, slow = measure_latency([Sleeper(2), Sleeper(6)], [(1, 4, 4)] * 2, LatencyConfig(repeats=11, warmup_s=0.1))
    assert 2 <= quick.value < 5
    assert 6 <= slow.value < 12
    assert quick.low <= quick.value <= quick.high
    assert slow.low <= slow.value <= slow.high


def test_threads_are_set_and_restored():
    seen = []

    class Spy(Sleeper):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return x

    before = torch.get_num_threads()
    measure_latency([Spy(0)], [(1, 4, 4)], LatencyConfig(threads=2, repeats=5, warmup_s=0.05))
    assert set(seen) == {2}
    assert torch.get_num_threads() == before


def test_interval_covers_the_true_median_95_percent_of_the_time():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        estimate = median_interval(generator.exponential(size=25))
        covered += estimate.low <= np.log(2) <= estimate.high
    assert 0.94 <= covered / 2000 <= 0.995


def test_outliers_do_not_move_the_median():
    samples = np.concatenate([np.full(30, 2.0), np.full(5, 100.0)])
    assert median_interval(samples).value == 2.0


def test_conditions_name_everything_a_latency_depends_on():
    found = conditions(torch.device("cpu"), (3, 32, 32), LatencyConfig(batch_size=4, threads=2))
    assert found["device"]
    assert found["backend"].startswith("torch 2")
    assert (found["batch_size"], found["threads"], found["input_shape"]) == (4, 2, [3, 32, 32])


@pytest.mark.parametrize(("field", "value"), [("batch_size", 0), ("threads", 0), ("repeats", 2), ("warmup_s", -1)])
def test_bad_settings_name_field_and_value(field, value):
    with pytest.raises(ValueError, match=f"{field} must be at least .*, got {value}"):
        LatencyConfig(**{field: value})
