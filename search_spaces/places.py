"""Networks as places and the blocks that stand in them, for what adds up over blocks: time, work, weights.

A space of 1e19 networks has hundreds of distinct blocks. What is known of each block is known, summed, of any network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from torch import nn

from search_spaces.architecture import Decision

_ROWS_AT_ONCE = 1 << 15  # of a sum: few enough to stay in the cache


@dataclass(frozen=True)
class Block:
    """A piece of a network that runs by itself.

    Args:
        name: What it is; blocks of one name on one shape are the same.
        input_shape: Of one input, [C, H, W].
        build: Makes it as a plain module with fresh weights, on the default device.
    """

    name: str
    input_shape: tuple[int, ...]
    build: Callable[[], nn.Module]

    @property
    def key(self) -> str:
        """Name and shape, such as ``mb 24-96-40 k5 s2 on 24x16x16``."""
        return f"{self.name} on {'x'.join(map(str, self.input_shape))}"


@dataclass(frozen=True)
class Place:
    """Where a block stands in every network of a space, and which one.

    Args:
        decisions: Names of the decisions that say which.
        block: Values of these decisions -> the block, None where nothing runs.
        repeats: How often the block runs here.
        unused: Whether nothing reads what the block gives, or another one gives it too: a backend may leave it out.
    """

    decisions: tuple[str, ...]
    block: Callable[..., Block | None]
    repeats: int = 1
    unused: bool = False


def fixed(block: Block, repeats: int = 1) -> Place:
    """A place where every network has the same block."""
    return Place((), lambda: block, repeats)


class _Lookup(NamedTuple):
    """Columns [C] of encodings, their weights [C] in the combined index, and the block of each index (-1: none)."""

    columns: np.ndarray
    strides: np.ndarray
    rows: np.ndarray
    repeats: int
    unused: bool

    def at(self, encodings: np.ndarray) -> np.ndarray:
        return encodings[:, self.columns] @ self.strides


class Blocks:
    """The distinct blocks of a space, and which of them make up an architecture.

    Args:
        decisions: Of the space.
        places: Of its networks.

    Attributes:
        distinct: Every block that some architecture has, once.
    """

    def __init__(self, decisions: Sequence[Decision], places: Sequence[Place]) -> None:
        by_name = {decision.name: (i, decision.choices) for i, decision in enumerate(decisions)}
        found: dict[str, Block] = {}
        order: dict[str, int] = {}
        self._lookups: list[_Lookup] = []
        for place in places:
            columns, choices = zip(*(by_name[name] for name in place.decisions)) if place.decisions else ((), ())
            rows = []
            for values in product(*choices):
                block = place.block(*values)
                if block is not None:
                    found.setdefault(block.key, block)
                    order.setdefault(block.key, len(order))
                rows.append(-1 if block is None else order[block.key])
            strides = [prod(len(c) for c in choices[i + 1 :]) for i in range(len(choices))]
            indices = (np.array(columns, dtype=np.int64), np.array(strides, dtype=np.int64), np.array(rows))
            self._lookups.append(_Lookup(*indices, place.repeats, place.unused))
        self.distinct = tuple(found.values())

    def rows(self, encoding: np.ndarray) -> list[tuple[int, int]]:
        """Index among the distinct blocks, and repeats, of every block of one architecture [D], in order."""
        rows = [(int(lookup.rows[lookup.at(encoding[None])[0]]), lookup.repeats) for lookup in self._lookups]
        return [(row, repeats) for row, repeats in rows if row >= 0]

    def totals(self, values: np.ndarray, encodings: np.ndarray, *, unused: bool | None = None) -> np.ndarray:
        """Sums [N, K] over the blocks of encodings [N, D] of values [M, K], one row a distinct block.

        Args:
            values: Of the distinct blocks, in their order.
            encodings: Architectures; they need not be canonical.
            unused: Only blocks whose output is (not) left unused; None for all.
        """
        padded = np.concatenate([values, np.zeros((1, values.shape[1]))])  # the last row is that of no block
        tables: dict[bytes, tuple[_Lookup, np.ndarray]] = {}  # places that follow the same decisions share one
        for lookup in self._lookups:
            if unused in (None, lookup.unused):
                table = lookup.repeats * padded[lookup.rows]
                _, before = tables.get(lookup.columns.tobytes(), (lookup, 0.0))
                tables[lookup.columns.tobytes()] = (lookup, before + table)
        total = np.zeros((len(encodings), values.shape[1]))
        for start in range(0, len(encodings), _ROWS_AT_ONCE):
            part = encodings[start : start + _ROWS_AT_ONCE]
            for lookup, table in tables.values():
                total[start : start + _ROWS_AT_ONCE] += table[lookup.at(part)]
        return total
