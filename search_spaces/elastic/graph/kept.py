"""Which indices of a dimension are kept when every group keeps its first units."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from search_spaces.tracing.traced import BATCH, Traced, Units

_REMEMBERED = 256


class Kept:
    """The kept indices of one dimension.

    Args:
        mask: Whether each index is kept.
    """

    def __init__(self, mask: np.ndarray) -> None:
        self.size = len(mask)
        self._before = np.concatenate([[0], np.cumsum(mask)])
        self.count = int(self._before[-1])
        self.indices = np.flatnonzero(mask)
        self._on: dict[torch.device, Tensor] = {}

    @cached_property
    def is_prefix(self) -> bool:
        """Whether exactly the first indices are kept."""
        return bool(self.count) and int(self.indices[-1]) == self.count - 1

    def before(self, index: int) -> int:
        """Return how many of the indices below one are kept; a negative index counts from the end."""
        index = index + self.size if index < 0 else index
        return int(self._before[min(max(index, 0), self.size)])

    def on(self, device: torch.device) -> Tensor:
        """Return the kept indices on a device."""
        if device not in self._on:
            self._on[device] = torch.from_numpy(self.indices).to(device)
        return self._on[device]


class Axis:
    """The units of one dimension, as far as they follow a decision.

    Args:
        groups: Positions of the groups that it holds units of.
        owners: Index -> position in `groups`, or -1.
        ranks: Index -> rank of its unit in the group.
    """

    def __init__(self, groups: tuple[int, ...], owners: np.ndarray, ranks: np.ndarray) -> None:
        self.groups, self._owners, self._ranks = groups, owners, ranks
        self._made: dict[tuple[int, ...], Kept | None] = {}

    def at(self, counts: Sequence[int]) -> Kept | None:
        """Return what is kept when each group of the network keeps this many units; None for everything."""
        key = tuple([counts[group] for group in self.groups])
        if key not in self._made:
            if len(self._made) >= _REMEMBERED:
                self._made.clear()
            limits = np.array([*key, np.iinfo(np.int64).max])
            mask = self._ranks < limits[self._owners]
            self._made[key] = None if mask.all() else Kept(mask)
        return self._made[key]


Axes = tuple[Axis | None, ...]


class Layout:
    """Where the units of groups that follow decisions stand, in every node and tensor of a trace.

    Args:
        traced: The trace.
        following: Names of the groups that follow a decision; positions of groups count in this order.
    """

    def __init__(self, traced: Traced, following: Iterable[str]) -> None:
        self.following = tuple(following)
        self.sizes = [traced.group[name].size for name in self.following]
        last = max((group.first + group.size for group in traced.groups), default=0)
        self._owner = np.full(last + 1, -1)  # the last entry is that of unit -1
        self._rank = np.zeros(last + 1, dtype=np.int64)
        for position, name in enumerate(self.following):
            group = traced.group[name]
            self._owner[group.first : group.first + group.size] = position
            self._rank[group.first : group.first + group.size] = np.arange(group.size)
        self._axes: dict[bytes, Axis | None] = {}
        self.nodes = {name: self._all(units) for name, units in traced.units.items()}
        self.tensors = {name: self._all(units) for name, units in traced.tensors.items()}
        self.shapes = traced.shapes

    def _all(self, units: Units) -> Axes:
        return tuple(None if one is None else self._axis(np.asarray(one)) for one in units)

    def _axis(self, units: np.ndarray) -> Axis | None:
        key = units.astype(np.int64).tobytes()
        if key not in self._axes:
            owners, ranks = self._owner[units], self._rank[units]
            groups = tuple(int(group) for group in np.unique(owners) if group >= 0)
            place = {group: position for position, group in enumerate(groups)} | {-1: -1}
            owners = np.array([place[int(owner)] for owner in owners], dtype=np.int64)
            self._axes[key] = Axis(groups, owners, ranks) if groups else None
        return self._axes[key]

    def node_axis(self, node: str, dimension: int) -> Axis | None:
        """Return the axis of one dimension of a node; None where it holds no unit that follows a decision."""
        axes = self.nodes.get(node)
        return axes[dimension] if axes else None

    def holds_batch(self, node: str, dimension: int) -> bool:
        """Return whether the size of a dimension is a multiple of the batch."""
        size = self.shapes[node][dimension]
        return size > 0 and size % BATCH == 0
