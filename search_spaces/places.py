"""Networks as places and the blocks that stand in them, for what adds up over blocks: weights, work, time.

A space of 1e19 networks has only hundreds of distinct blocks. What is known about each block gives, as a sum, what any
network costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from search_spaces.architecture import Choice, Decision
from search_spaces.inputs import Input, example_of

if TYPE_CHECKING:
    from torch import Tensor, nn

_MOST_COMBINATIONS = 10**6  # of the decisions of one place
UNSEEN = " #"
"""What stands in the name of a block before letters that only tell it from others, and that people are not shown."""
_ROWS_AT_ONCE = 1 << 15  # rows summed at once: few enough to stay in the cache


@dataclass(frozen=True)
class Block:
    """A piece of a network that runs by itself on one input.

    Args:
        name: What it is; blocks of one name on one shape are the same.
        input_shape: Shape of its input without the batch, such as [C, H, W].
        build: Makes it as a plain module with fresh weights, on the default device.
        count: Gives its exact costs of one input by name, such as `params` and `macs`. Without it they are counted in
            the module that `build` makes, which takes milliseconds for each distinct block.
        inputs: What it is called with, where this is not one tensor of numbers of that shape.
    """

    name: str
    input_shape: tuple[int, ...]
    build: Callable[[], nn.Module]
    count: Callable[[], Mapping[str, int]] | None = None
    inputs: tuple[Input, ...] = ()

    @property
    def key(self) -> str:
        """Name and shape, such as ``mb 24-96-40 k5 s2 on 24x16x16``."""
        return f"{self.name} on {'x'.join(map(str, self.input_shape))}"

    def example(self, batch: int = 1) -> tuple[Tensor, ...]:
        """Return what the block is called with: [batch, ...] on the CPU, always the same."""
        return example_of(self.inputs or [Input(self.input_shape)], {}, batch)

    @property
    def costs(self) -> Mapping[str, int]:
        """Its exact costs of one input by name; what is not named costs nothing."""
        if self.count is not None:
            return self.count()
        from search_spaces.counting import counted_costs

        return counted_costs(self.build, self.input_shape)


class Condition(NamedTuple):
    """Names of decisions, and whether something holds for values of them by name."""

    decisions: tuple[str, ...]
    holds: Callable[[Mapping[str, Choice]], bool]


@dataclass(frozen=True)
class Place:
    """The place of a block in every network of a space, and the block itself.

    Args:
        decisions: Names of the decisions that say which.
        block: Values of these decisions -> the block, None where nothing runs.
        repeats: How often the block runs here.
        unused: Conditions under which nothing reads the output of the block, or another block gives the same: a backend
            may then leave it out.
    """

    decisions: tuple[str, ...]
    block: Callable[..., Block | None]
    repeats: int = 1
    unused: Condition | None = None


def fixed(block: Block, repeats: int = 1) -> Place:
    """Return a place where every network has the same block."""
    return Place((), lambda: block, repeats)


class _Lookup(NamedTuple):
    """Columns [C] of encodings, their weights [C] in the combined index, and the block of each index (-1: none)."""

    columns: np.ndarray
    strides: np.ndarray
    rows: np.ndarray
    repeats: int

    def at(self, encodings: np.ndarray) -> np.ndarray:
        return encodings[:, self.columns] @ self.strides


class Blocks:
    """The distinct blocks of a space, and which of them make up an architecture.

    Args:
        decisions: Decisions of the space.
        places: Places of its networks.

    Attributes:
        distinct: Every block that some architecture has, once.
    """

    def __init__(self, decisions: Sequence[Decision], places: Sequence[Place]) -> None:
        self._columns = {decision.name: (i, decision.choices) for i, decision in enumerate(decisions)}
        self._places = tuple(places)
        found: dict[str, Block] = {}
        order: dict[str, int] = {}

        def row(block: Block | None) -> int:
            if block is None:
                return -1
            found.setdefault(key := block.key, block)
            return order.setdefault(key, len(order))

        self._lookups = []
        for place in self._places:
            combinations = prod(len(self._columns[name][1]) for name in place.decisions)
            if combinations > _MOST_COMBINATIONS:
                names = ", ".join(place.decisions)
                many = f"{combinations:.3g} blocks, at most {_MOST_COMBINATIONS:,} are listed"
                raise ValueError(f"a place that follows the decisions {names} has up to {many}")
            rows = [row(place.block(*values)) for values in self._values(place.decisions)]
            self._lookups.append(self._lookup(place, place.decisions, rows))
        self.distinct = tuple(found.values())

    def _values(self, names: tuple[str, ...]) -> product[tuple[Choice, ...]]:
        """Return all combinations of values of decisions."""
        return product(*(self._columns[name][1] for name in names))

    def _lookup(self, place: Place, names: tuple[str, ...], rows: Sequence[int]) -> _Lookup:
        columns = np.array([self._columns[name][0] for name in names], dtype=np.int64)
        counts = [len(self._columns[name][1]) for name in names]
        strides = np.array([prod(counts[i + 1 :]) for i in range(len(counts))], dtype=np.int64)
        return _Lookup(columns, strides, np.array(rows), place.repeats)

    # ---- exact costs ------------------------------------------------------------------------------------------------

    @cached_property
    def _costs(self) -> list[Mapping[str, int]]:
        return [block.costs for block in self.distinct]

    @cached_property
    def cost_names(self) -> tuple[str, ...]:
        """The costs that some of the blocks have."""
        return tuple(dict.fromkeys(name for costs in self._costs for name in costs))

    @cached_property
    def costs(self) -> np.ndarray:
        """Exact costs [M, C] of the distinct blocks, in the order of `cost_names`."""
        rows = [[costs.get(name, 0) for name in self.cost_names] for costs in self._costs]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self.cost_names))

    # ---- sums -------------------------------------------------------------------------------------------------------

    def rows(self, encoding: np.ndarray) -> list[tuple[int, int]]:
        """Return index among the distinct blocks and repeats of every block of one architecture [D], in order."""
        rows = [(int(lookup.rows[lookup.at(encoding[None])[0]]), lookup.repeats) for lookup in self._lookups]
        return [(row, repeats) for row, repeats in rows if row >= 0]

    def rows_of(self, encodings: np.ndarray) -> np.ndarray:
        """Return the index among the distinct blocks [N, R] of every block of encodings [N, D], in order, each as often
        as it runs; -1 where nothing does.
        """
        columns = [lookup.rows[lookup.at(encodings)] for lookup in self._lookups for _ in range(lookup.repeats)]
        return np.stack(columns, axis=1) if columns else np.empty((len(encodings), 0), dtype=np.int64)

    def standing(self, encoding: np.ndarray) -> list[tuple[Place, Block | None]]:
        """Return every place, and the block that one architecture [D] has there; None where nothing runs."""
        rows = [int(lookup.rows[lookup.at(encoding[None])[0]]) for lookup in self._lookups]
        return [(place, None if row < 0 else self.distinct[row]) for place, row in zip(self._places, rows)]

    def totals(self, values: np.ndarray, encodings: np.ndarray, *, unused: bool | None = None) -> np.ndarray:
        """Sum values [M, K], one row for each distinct block, over the blocks of encodings [N, D], to [N, K].

        Args:
            values: Values of the distinct blocks, in their order; sums have their type.
            encodings: Architectures; they need not be canonical.
            unused: Only blocks whose output is (not) left unused; None for all.
        """
        tables = self._tables(values, self._lookups if unused is None else self._by_use[unused])
        total = np.zeros_like(values, shape=(len(encodings), values.shape[1]))
        for start in range(0, len(encodings), _ROWS_AT_ONCE):
            part = encodings[start : start + _ROWS_AT_ONCE]
            for lookup, table in tables:
                total[start : start + _ROWS_AT_ONCE] += table[lookup.at(part)]
        return total

    def tables(self, values: np.ndarray) -> list[tuple[tuple[str, ...], np.ndarray]]:
        """Return the decisions of places, and what their blocks add up to under all combinations of their choices.

        Args:
            values: A value [M] of each distinct block, in their order.

        Returns:
            Names of decisions, each set of them once, and sums with one dimension for each decision.
        """
        found = self._tables(values[:, None], self._lookups)
        decisions = [(name, len(choices)) for name, (_, choices) in self._columns.items()]
        followed = [([decisions[column] for column in lookup.columns], table) for lookup, table in found]
        return [(tuple(name for name, _ in of), table.reshape([count for _, count in of])) for of, table in followed]

    def _tables(self, values: np.ndarray, lookups: Sequence[_Lookup]) -> list[tuple[_Lookup, np.ndarray]]:
        """Return sums of values [M, K] for all combinations; places that follow the same decisions share one."""
        padded = np.concatenate([values, np.zeros_like(values, shape=(1, values.shape[1]))])  # the last: no block
        tables: dict[bytes, tuple[_Lookup, np.ndarray]] = {}
        for lookup in lookups:
            table = lookup.repeats * padded[lookup.rows]
            _, before = tables.get(key := lookup.columns.tobytes(), (lookup, 0))
            tables[key] = (lookup, before + table)
        return list(tables.values())

    @cached_property
    def _by_use(self) -> dict[bool, list[_Lookup]]:
        """Lookups that find used (False) and unused (True) blocks only; these follow more decisions."""
        parts: dict[bool, list[_Lookup]] = {False: [], True: []}
        for place, lookup in zip(self._places, self._lookups):
            if place.unused is None:
                parts[False].append(lookup)
                continue
            names = tuple(dict.fromkeys((*place.decisions, *place.unused.decisions)))
            unused = np.array([place.unused.holds(dict(zip(names, values))) for values in self._values(names)])
            rows = np.repeat(lookup.rows, len(unused) // len(lookup.rows))  # the last decisions change fastest
            for kind, part in parts.items():
                part.append(self._lookup(place, names, np.where(unused == kind, rows, -1).tolist()))
        return parts
