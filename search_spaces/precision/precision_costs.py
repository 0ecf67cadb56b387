"""Exact costs of networks whose layers have bits: bytes, bit operations and average bits, for many at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from search_spaces.architecture import Choice, Decision
from search_spaces.encodings import indices_of
from search_spaces.precision.precision_layers import LayerSizes
from search_spaces.sizes import AnySize, Size
from search_spaces.space import Space

_ROWS_AT_ONCE = 1 << 14  # few enough to stay in the cache
_FLOAT_BITS = 32
_SUMS = (
    *("scales", "weights", "weight_bytes", "macs", "bit_operations"),
    *("layers", "layer_weight_bits", "layer_activation_bits", "parameters", "parameter_bits"),
)
UNITS = {
    "bytes": "bytes",
    "weight_bits_by_layer": "bits",
    "activation_bits_by_layer": "bits",
    "weight_bits_by_parameter": "bits",
    "bit_operations": "bit operations",
}


@dataclass(frozen=True, kw_only=True)
class LayerBits:
    """The bits of one layer.

    Args:
        sizes: How large it is.
        weight, activation: Bits of its weights and of its inputs.
    """

    sizes: LayerSizes
    weight: AnySize
    activation: AnySize


@dataclass(frozen=True, kw_only=True)
class PrecisionCosts:
    """The `cost` of a space with bits: columns of values [N] by decision -> columns of costs [N].

    Args:
        space: The space without bits.
        decisions: Decisions of the space with bits.
        layers: Its layers.
        per_channel: 1 where every output channel has a scale.
        weight_offset, activation_offset: 1 where an offset stands beside each scale.
    """

    space: Space
    decisions: tuple[Decision, ...]
    layers: tuple[LayerBits, ...]
    per_channel: AnySize
    weight_offset: AnySize
    activation_offset: AnySize

    def __call__(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = len(next(iter(columns.values()))) if columns else 1
        indices = {d.name: indices_of(columns[d.name], d.choices) for d in self.decisions}
        own = np.stack([indices[d.name] for d in self.space.decisions], 1) if self.space.decisions else None
        encodings = np.zeros((rows, 0), dtype=np.int64) if own is None else own
        totals = {name: np.asarray(column) for name, column in self.space.costs(encodings).items()}
        parts = [
            self._part({name: column[start : start + _ROWS_AT_ONCE] for name, column in indices.items()}, size)
            for start in range(0, rows, _ROWS_AT_ONCE)
            if (size := min(_ROWS_AT_ONCE, rows - start))
        ]
        sums = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return _together(totals, sums)

    def _part(self, indices: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
        """Return sums over layers of a part of the rows."""
        values = _Values(indices, {d.name: d.choices for d in self.decisions}, rows)
        per_channel, offsets = values.of(self.per_channel), values.of(self.weight_offset)
        input_numbers = 1 + values.of(self.activation_offset)
        total = {name: np.zeros(rows, dtype=np.int64) for name in _SUMS}
        for layer in self.layers:
            sizes, runs = layer.sizes, values.runs(layer.sizes)
            weights = values.table(sizes.weights, sizes.follows) * runs
            weight_bits, input_bits = values.of(layer.weight), values.of(layer.activation)
            macs = weights * values.table(sizes.positions, self.space.shared_decisions)
            outputs = values.table(sizes.outputs, sizes.follows) * runs
            total["scales"] += (outputs * per_channel + runs * (1 - per_channel)) * (1 + offsets) + runs * input_numbers
            total["weights"] += weights
            total["weight_bytes"] += (weights * weight_bits + 7) // 8
            total["macs"] += macs
            total["bit_operations"] += macs * (weight_bits * input_bits)
            if not sizes.is_edge:  # their bits are no choice: published averages leave them out
                total["layers"] += runs
                total["layer_weight_bits"] += runs * weight_bits
                total["layer_activation_bits"] += runs * input_bits
                total["parameters"] += weights
                total["parameter_bits"] += weights * weight_bits
        return total


class _Values:
    """Values of decisions for so many rows.

    Args:
        indices: Decision -> index of its choice [N].
        choices: Decision -> its choices.
        rows: How many.
    """

    def __init__(self, indices: Mapping[str, np.ndarray], choices: Mapping[str, tuple[Choice, ...]], rows: int) -> None:
        self.indices, self.choices, self.rows = indices, choices, rows

    def of(self, size: AnySize) -> np.ndarray | int:
        """Return the numbers [N] of a size."""
        if not isinstance(size, Size):
            return size
        return np.array([size.values[choice] for choice in self.choices[size.decision]])[self.indices[size.decision]]

    def table(self, table: np.ndarray, follows: Mapping[str, tuple[Choice, ...]] | tuple[str, ...]) -> np.ndarray | int:
        """Return the entries [N] of a table with one dimension for each of these decisions."""
        if not follows:
            return int(table)
        return table[tuple(self.indices[decision] for decision in follows)]

    def runs(self, sizes: LayerSizes) -> np.ndarray:
        """Return 1 where a layer runs, else 0 [N]."""
        runs = np.ones(self.rows, dtype=np.int64)
        for decision, allowed in sizes.runs.items():
            runs *= np.array([int(choice in allowed) for choice in self.choices[decision]])[self.indices[decision]]
        return runs


def _together(totals: Mapping[str, np.ndarray], sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the costs of the space without bits and the sums over layers as the costs of the space with bits.

    Everything that has no bits counts with those of floating point numbers.
    """
    costs = dict(totals)
    layers, parameters = np.maximum(sums["layers"], 1), np.maximum(sums["parameters"], 1)
    if "params" in costs:
        costs["params"] = costs["params"] + sums["scales"]
        costs["bytes"] = sums["weight_bytes"] + (costs["params"] - sums["weights"]) * (_FLOAT_BITS // 8)
    costs["weight_bits_by_layer"] = sums["layer_weight_bits"] / layers
    costs["activation_bits_by_layer"] = sums["layer_activation_bits"] / layers
    costs["weight_bits_by_parameter"] = sums["parameter_bits"] / parameters
    if "macs" in costs:
        rest = costs["macs"] - sums["macs"]
        costs["bit_operations"] = sums["bit_operations"] + rest * _FLOAT_BITS**2
    return costs
