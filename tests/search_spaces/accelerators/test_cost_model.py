"""The cost model against a naive second one, against what must hold of any, and within the range of MAESTRO's."""

from itertools import product
from math import ceil

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.accelerators.cost_model import (
    DATAFLOWS,
    L1_ENERGY,
    L2_ENERGY,
    MAC_NJ,
    area_um2,
    compute_cycles,
    layer_costs,
)
from search_spaces.accelerators.layer_shapes import LayerShape, layers_of
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.places import Block

EARLY = LayerShape(64, 3, 7, 7, 112, 112, stride=2)
LATE = LayerShape(512, 512, 3, 3, 7, 7)
DEPTHWISE = LayerShape(96, 1, 3, 3, 16, 16, groups=96)
LAYERS = [EARLY, LATE, DEPTHWISE, LayerShape(10, 1280), LayerShape(5, 7, 3, 3, 6, 6)]
# 256 PEs, network of 1024: MAESTRO's own results (maestro-project/maestro at 4eb08d1): cycles of kcp_ws and rs, MACs
MAESTRO = {
    LayerShape(64, 3, 7, 7, 109, 109, stride=2): (1_330_673, 4_792_525, 111_776_448),
    LayerShape(64, 64, 1, 1, 56, 56): (100_353, 57_345, 12_845_056),
    LayerShape(64, 64, 3, 3, 54, 54): (139_971, 27_649, 107_495_424),
}


def cost(layer: LayerShape, dataflow: str, pes: int, bandwidth: int) -> tuple[int, float]:
    cycles, energy = layer_costs(layer, dataflow, np.array([pes]), np.array([bandwidth]))
    return int(cycles[0]), float(energy[0])


def naive(layer: LayerShape, dataflow: str, pes: int, bandwidth: int) -> tuple[int, int]:
    """Least cycles and the traffic then, over tiles of every size."""
    extents = {
        "dla": (layer.outputs, layer.inputs),
        "shi": (layer.height, layer.width),
        "rs": (layer.rows, layer.height, layer.outputs),
    }[dataflow]
    found = []
    for tiles in product(*(range(1, extent + 1) for extent in extents)):
        if np.prod(tiles) > pes:
            continue
        counts = [ceil(extent / tile) for extent, tile in zip(extents, tiles)]
        work = int(np.prod(counts))
        if dataflow == "dla":
            compute = work * layer.rows * layer.columns * layer.height * layer.width
            again, sums, weights = ceil(counts[0] / layer.groups), 2 * counts[1] - 1, 1
        elif dataflow == "shi":
            compute = work * layer.weights
            again, sums, weights = ceil(layer.outputs / layer.groups / 16), 1, work
        else:
            compute = work * layer.columns * layer.inputs * layer.width
            again, sums, weights = ceil(counts[2] / 16 / layer.groups), 2 * counts[0] - 1, counts[1]
        traffic = layer.weights * weights + layer.read * again + layer.written * sums
        found.append((max(compute, ceil(traffic / bandwidth)), traffic))
    return min(found)


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("layer", [LayerShape(5, 7, 3, 3, 6, 6), LayerShape(12, 1, 3, 3, 5, 9, 2, groups=12)])
def test_costs_are_those_of_the_best_tiles(layer, dataflow):
    for pes, bandwidth in product((1, 2, 5, 16, 100), (1, 3, 64)):
        cycles, traffic = naive(layer, dataflow, pes, bandwidth)
        energy = MAC_NJ * (layer.macs * (1 + 3 * L1_ENERGY) + traffic * (L1_ENERGY + L2_ENERGY))
        assert cost(layer, dataflow, pes, bandwidth) == (cycles, pytest.approx(energy))


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("layer", LAYERS)
def test_more_hardware_never_takes_longer(layer, dataflow):
    pes, bandwidths = np.arange(1, 400, 7), np.array([1, 2, 8, 24, 64])
    computing = [compute_cycles(layer, dataflow, int(one)) for one in pes]
    assert (np.diff(computing) <= 0).all()
    assert min(computing) * pes[-1] >= layer.macs  # no PE does two multiplications at once
    grid = np.array([layer_costs(layer, dataflow, np.full(5, one), bandwidths)[0] for one in pes])
    assert (np.diff(grid, axis=0) <= 0).all()
    assert (np.diff(grid, axis=1) <= 0).all()
    assert (grid >= np.array(computing)[:, None]).all()


def test_area_rises_with_pes_and_with_bandwidth_faster_than_linear():
    pes, bandwidths = np.arange(1, 100), np.arange(1, 65)
    assert (np.diff(area_um2(pes, np.full(99, 8))) > 0).all()
    of_bandwidth = area_um2(np.full(64, 256), bandwidths)
    assert (np.diff(of_bandwidth) > 0).all()
    assert (np.diff(of_bandwidth, n=2) > 0).all()
    assert area_um2(np.array([0]), np.array([64]))[0] == 0


def test_channels_in_parallel_suit_late_layers_and_pixels_in_parallel_suit_early_ones():
    for pes, bandwidth in product((512, 1024, 2048), (16, 32, 64)):
        assert cost(LATE, "dla", pes, bandwidth)[0] < cost(LATE, "shi", pes, bandwidth)[0]
        assert cost(EARLY, "shi", pes, bandwidth)[0] < cost(EARLY, "dla", pes, bandwidth)[0]


@pytest.mark.parametrize("layer", MAESTRO)
def test_cycles_are_within_the_range_of_maestro(layer):
    """Its tables count more than one MAC for each PE and cycle, so that only orders of magnitude can agree."""
    kcp, rows, macs = MAESTRO[layer]
    assert layer.macs == macs
    assert 1 / 4 < cost(layer, "dla", 256, 1024)[0] / kcp < 4
    assert 1 / 20 < cost(layer, "rs", 256, 1024)[0] / rows < 20


def test_layers_of_a_block_are_what_runs_in_it():
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.Conv2d(8, 8, 5, padding=2, groups=4),
            nn.Flatten(),
            nn.Linear(8 * 16 * 16, 10),
        )

    found = layers_of(Block("block", (3, 32, 32), build))
    expected = [LayerShape(8, 3, 3, 3, 16, 16, 2), LayerShape(8, 2, 5, 5, 16, 16, 1, 4), LayerShape(10, 2048)]
    assert list(found) == expected


def test_layers_have_the_macs_that_the_blocks_of_a_space_count():
    for block in nasbench_macro(width=8, head_width=16, image_size=16).blocks.distinct:
        layers = layers_of(block)
        assert sum(layer.macs for layer in layers) == block.costs["macs"]
        assert layers[0].read >= torch.Size(block.input_shape).numel() // 2
