"""Cycles, energy and area of layers on a sub-accelerator, computed from their shapes.

Paper: Yang et al., NASAIC, arXiv 2002.04116, section III, takes the costs from MAESTRO (arXiv 1805.02566).
Differs: this is a smaller model with MAESTRO's constants. A dataflow spreads two or three dimensions of a layer over
the PEs in tiles; ragged edges cost whole tiles. What does not stay in the PEs is sent again for each tile. A layer
takes as long as the slower of both, computing and sending, with the best tiles. Its numbers are for comparisons with
each other, never with published ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from search_spaces.accelerators.layer_shapes import LayerShape

DATAFLOWS = ("dla", "shi", "rs")
"""NVDLA-like (channels in parallel), ShiDianNao-like (pixels in parallel), Eyeriss-like (rows in parallel)."""
MAC_NJ = 0.00023
L1_ENERGY, L2_ENERGY = 1.68, 18.61
"""Energy of one access to the memory of a PE, and to the shared one, in that of a multiply-accumulate."""
_L1_ACCESSES = 3  # of a multiply-accumulate: a weight, an input, and the sum that it is added to
_KEPT_SUMS = 16  # output channels whose sums a PE keeps at once
_MAC_UM2, _SRAM_BIT_UM2, _BUS_UM2, _ARBITER_UM2 = 283.0, 0.104, 101.79, 395.47
_L1_BYTES, _L2_BYTES = 100, 3000
_PORT_BYTES = 8  # of one port of the arbiter, whose area grows with the square of the ports


class Tiles(NamedTuple):
    """Tilings of one layer: PEs that each needs, and what follows from it [T].

    Attributes:
        pes: PEs that work at the same time.
        compute: Cycles of computing.
        traffic: Bytes between the shared memory and the PEs.
    """

    pes: np.ndarray
    compute: np.ndarray
    traffic: np.ndarray


@lru_cache(maxsize=1 << 10)
def tilings(layer: LayerShape, dataflow: str) -> Tiles:
    """Return the tilings of a layer."""
    return Tiles(*np.array(list(_TILINGS[dataflow](layer)), dtype=np.int64).T)


def layer_costs(
    layer: LayerShape, dataflow: str, pes: np.ndarray, bandwidths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return cycles [H] and energy in nJ [H] of a layer on H sub-accelerators of one dataflow.

    Args:
        layer: Layer that runs for one input.
        dataflow: One of `DATAFLOWS`.
        pes: PEs [H], at least one each.
        bandwidths: Bytes for each cycle [H].
    """
    tiles = tilings(layer, dataflow)
    sent = -(-tiles.traffic[None, :] // np.asarray(bandwidths)[:, None])
    fits = tiles.pes[None, :] <= np.asarray(pes)[:, None]
    cycles = np.where(fits, np.maximum(tiles.compute[None, :], sent), np.iinfo(np.int64).max)
    least = cycles.min(axis=1)
    traffic = np.where(cycles == least[:, None], tiles.traffic[None, :], np.iinfo(np.int64).max).min(axis=1)
    energy = MAC_NJ * (layer.macs * (1 + _L1_ACCESSES * L1_ENERGY) + traffic * (L1_ENERGY + L2_ENERGY))
    return least, energy


def compute_cycles(layer: LayerShape, dataflow: str, pes: int) -> int:
    """Return the cycles that a layer takes where nothing waits for data."""
    tiles = tilings(layer, dataflow)
    return int(tiles.compute[tiles.pes <= pes].min())


def area_um2(pes: np.ndarray, bandwidths: np.ndarray) -> np.ndarray:
    """Return the area [N] of sub-accelerators; none where there are no PEs.

    Args:
        pes: PEs [N].
        bandwidths: Bytes for each cycle [N].
    """
    each_pe = _MAC_UM2 + 8 * _L1_BYTES * _SRAM_BIT_UM2
    network = _BUS_UM2 * bandwidths + _ARBITER_UM2 * (bandwidths / _PORT_BYTES) ** 2
    whole = pes * each_pe + 8 * _L2_BYTES * _SRAM_BIT_UM2 + network
    return np.where(np.asarray(pes) > 0, whole, 0.0)


# ---- dataflows ------------------------------------------------------------------------------------------------------


def _tiles(extent: int) -> list[int]:
    """Return the smallest tile for each number of tiles that an extent can be cut into."""
    return sorted({-(-extent // count) for count in range(1, extent + 1)})


def _channels_parallel(layer: LayerShape) -> Iterator[tuple[int, int, int]]:
    """Yield PEs, cycles and bytes of tilings of output and input channels; weights stay in the PEs."""
    pixels = layer.height * layer.width
    for outputs in _tiles(layer.outputs):
        passes = -(-layer.outputs // outputs)
        read_again = max(1, -(-passes // layer.groups))
        for inputs in _tiles(layer.inputs):
            parts = -(-layer.inputs // inputs)
            compute = passes * parts * layer.rows * layer.columns * pixels
            traffic = layer.weights + layer.read * read_again + layer.written * (2 * parts - 1)
            yield outputs * inputs, compute, traffic


def _pixels_parallel(layer: LayerShape) -> Iterator[tuple[int, int, int]]:
    """Yield the same of tilings of pixels; the sums of some output channels stay in the PEs."""
    read_again = -(-(layer.outputs // layer.groups) // _KEPT_SUMS)
    for height in _tiles(layer.height):
        for width in _tiles(layer.width):
            tiles = -(-layer.height // height) * -(-layer.width // width)
            compute = tiles * layer.weights
            yield height * width, compute, layer.weights * tiles + layer.read * read_again + layer.written


def _rows_parallel(layer: LayerShape) -> Iterator[tuple[int, int, int]]:
    """Yield the same of tilings of rows of outputs and kernels, and of output channels, some in each PE."""
    for rows in _tiles(layer.rows):
        folds = -(-layer.rows // rows)
        for height in _tiles(layer.height):
            bands = -(-layer.height // height)
            for outputs in _tiles(layer.outputs):
                passes = -(-layer.outputs // outputs)
                compute = passes * bands * folds * layer.columns * layer.inputs * layer.width
                read_again = max(1, -(-passes // (_KEPT_SUMS * layer.groups)))
                traffic = layer.weights * bands + layer.read * read_again + layer.written * (2 * folds - 1)
                yield rows * height * outputs, compute, traffic


_TILINGS = {"dla": _channels_parallel, "shi": _pixels_parallel, "rs": _rows_parallel}
