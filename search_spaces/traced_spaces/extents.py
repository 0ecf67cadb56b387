"""Lengths of dimensions as functions of the decisions: a fixed part, and a table by choice for each decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.sizes import Size
from search_spaces.tracing import BATCH, Traced
from search_spaces.tracing.traced import Units


@dataclass(frozen=True)
class Extent:
    """A whole number that is a sum of tables of numbers.

    Args:
        fixed: What is always there.
        tables: Name of a decision, and what is added for each of its choices, cheapest first.
    """

    fixed: int
    tables: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def at(self, indices: Mapping[str, np.ndarray]) -> np.ndarray | int:
        """Return the numbers [N] for indices of choices [N] by decision."""
        total: np.ndarray | int = self.fixed
        for decision, numbers in self.tables:
            total = total + np.array(numbers, dtype=np.int64)[indices[decision]]
        return total

    def number(self, index: Mapping[str, int]) -> int:
        """Return the number for the index of one choice by decision."""
        return self.fixed + sum(numbers[index[decision]] for decision, numbers in self.tables)

    @property
    def decisions(self) -> tuple[str, ...]:
        """Names of the decisions that it follows."""
        return tuple(decision for decision, _ in self.tables)


def extent_of(size: Size) -> Extent:
    """Return the number that a size is."""
    return Extent(0, ((size.decision, tuple(size.values.values())),))


def table_of(decision: str, numbers: Sequence[int]) -> Extent:
    """Return a number for each choice of a decision."""
    return Extent(numbers[0]) if len(set(numbers)) == 1 else Extent(0, ((decision, tuple(numbers)),))


class Extents:
    """The lengths of all dimensions of a network.

    Args:
        traced: What is known of the network.
        groups: Units that stay of groups, by name; what is missing stays whole.
    """

    def __init__(self, traced: Traced, groups: Mapping[str, Size]) -> None:
        self._traced, self._groups = traced, groups
        self._ends = np.array([group.first + group.size for group in traced.groups], dtype=np.int64)
        self._known: dict[bytes, Extent] = {}

    def of_tensor(self, name: str) -> tuple[Extent, ...]:
        """Return the lengths of the dimensions of a weight or constant."""
        tensor_units = self._traced.tensors[name]
        return tuple(self._of(units, length) for units, length in zip(tensor_units, self._shape(name)))

    def of_node(self, node: str) -> tuple[Extent, ...]:
        """Return the lengths of the dimensions of a value for one example."""
        shape = [size // BATCH if size % BATCH == 0 else size for size in self._traced.shapes[node]]
        node_units: Units = self._traced.units.get(node, (None,) * len(shape))
        return tuple(self._of(units, length) for units, length in zip(node_units, shape))

    def _shape(self, name: str) -> tuple[int, ...]:
        if name in self._traced.constants:
            return tuple(self._traced.constants[name].shape)
        owner, _, last = name.rpartition(".")
        return tuple(getattr(self._traced.module.get_submodule(owner), last).shape)

    def _of(self, units: np.ndarray | None, length: int) -> Extent:
        if units is None:
            return Extent(length)
        key = units.tobytes()
        if key not in self._known:
            self._known[key] = self._counted(units)
        return self._known[key]

    def _counted(self, units: np.ndarray) -> Extent:
        """Return how many indices stay, as the first units of every group do."""
        owners = np.searchsorted(self._ends, units, side="right")
        fixed, tables = 0, dict[str, np.ndarray]()
        for owner in np.unique(np.where(units < 0, -1, owners)):
            own = units[(units >= 0) & (owners == owner)] if owner >= 0 else units[units < 0]
            size = self._groups.get(self._traced.groups[owner].name) if owner >= 0 else None
            if size is None:
                fixed += len(own)
                continue
            group = self._traced.groups[owner]
            first = np.concatenate([[0], np.bincount(own - group.first, minlength=group.size).cumsum()])
            tables[size.decision] = tables.get(size.decision, 0) + first[list(size.values.values())]
        return Extent(fixed, tuple((name, tuple(numbers.tolist())) for name, numbers in sorted(tables.items())))
