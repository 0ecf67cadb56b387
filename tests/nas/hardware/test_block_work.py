"""What blocks compute and move, and the roofline model on top of it."""

import numpy as np
import pytest
import torch
from torch import nn

from nas.hardware.block_work import BlockWork, Layer, block_work
from nas.hardware.latency_table import works
from nas.hardware.roofline import AnalyticDevice
from nas.objectives import Roofline
from search_spaces.places import Block
from tests.search_spaces.test_places import SPACES, drawn


@pytest.mark.parametrize("name", [name for name in SPACES if name != "ofa_mobilenet_v3"])
def test_macs_of_the_blocks_are_those_of_the_network(name):
    space = SPACES[name]()
    macs = np.array([[work.macs] for work in works(space)], dtype=float)
    encodings = drawn(space)
    np.testing.assert_array_equal(space.blocks.totals(macs, encodings)[:, 0], space.costs(encodings)["macs"])


def test_a_convolution_with_norm_and_activation_is_one_layer():
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())

    work = block_work(Block("conv", (3, 16, 16), build))
    assert work.layers == (Layer(macs=27 * 8 * 64, weights=27 * 8, activations=3 * 256 + 8 * 64),)
    assert work.params == 27 * 8 + 16


def test_linear_layers_pooling_and_sums_are_layers():
    class Residual(nn.Module):
        def forward(self, x):
            return x + x

    def build() -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(2), Residual(), nn.Flatten(), nn.Linear(4, 5))

    pool, add, linear = block_work(Block("mix", (1, 4, 4), build)).layers
    assert pool == Layer(0, 0, 16 + 4)
    assert add == Layer(0, 0, 3 * 4)
    assert linear == Layer(20, 20 + 5, 4 + 5)


def test_looking_at_a_block_draws_no_random_numbers():
    space = SPACES["nasbench_macro"]()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    works(space)
    assert torch.equal(torch.get_rng_state(), before)


def test_roofline_is_the_longer_of_arithmetic_and_traffic_and_the_overhead():
    device = AnalyticDevice(tflops=2, bandwidth_gb_s=100, overhead_us=10)
    computing, moving = Layer(macs=10**9, weights=0, activations=10), Layer(macs=10, weights=0, activations=25 * 10**6)
    times = device.block_ms([BlockWork(0, (computing,)), BlockWork(0, (moving,)), BlockWork(0, (computing, moving))])
    np.testing.assert_allclose(times, [1.01, 1.01, 2.02])
    np.testing.assert_allclose(device.block_ms([BlockWork(0, (computing,))], batch_size=3), [3.01])


def test_roofline_objective_sums_the_blocks():
    space = SPACES["nasbench_macro"]()
    device = AnalyticDevice(tflops=0.1, bandwidth_gb_s=10, overhead_us=3)
    objective, work = Roofline(space, device, batch_size=2), works(space)
    block_ms = device.block_ms(work, 2)
    for encoding in drawn(space, 5):
        expected = sum(repeats * block_ms[row] for row, repeats in space.blocks.rows(encoding))
        assert objective.evaluate(space.decode(encoding)).value == pytest.approx(expected)
    assert "analytic" in objective.unit


@pytest.mark.parametrize("field", ["tflops", "bandwidth_gb_s"])
def test_a_device_of_nothing_is_refused(field):
    with pytest.raises(ValueError, match=f"{field} must be more than 0, got 0"):
        AnalyticDevice(**{"tflops": 1, "bandwidth_gb_s": 1, field: 0})
