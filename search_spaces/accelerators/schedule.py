"""When the layers of several networks end, for a given map of layers to sub-accelerators.

The layers of a network run one after the other; a sub-accelerator runs one layer at a time. Of the layers that come
next in their networks, the one that can begin first begins; of equal ones, that of the network with the most left to
do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

NEVER = 1e15
"""Cycles, or energy, of a layer on a sub-accelerator that is not used."""


class Work(NamedTuple):
    """The layers of C networks, in N cases, on K sub-accelerators. A case is a set of networks and hardware.

    Attributes:
        cycles: Cycles [N, C, L, K] of every layer on every sub-accelerator; 0 behind the last layer of a network.
        energy: Its energy [N, C, L, K].
        lengths: Number of layers [N, C].
    """

    cycles: np.ndarray
    energy: np.ndarray
    lengths: np.ndarray

    def of(self, rows: np.ndarray) -> Work:
        """Return some of the cases, in this order."""
        return Work(self.cycles[rows], self.energy[rows], self.lengths[rows])

    @property
    def present(self) -> np.ndarray:
        """Whether there is a layer [N, C, L]."""
        return np.arange(self.cycles.shape[2]) < self.lengths[:, :, None]


class Run(NamedTuple):
    """One layer that runs: number of network, layer and sub-accelerator, and when it begins and ends."""

    network: int
    layer: int
    accelerator: int
    begin: float
    end: float


def chosen(values: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return the values [N, C, L] of [N, C, L, K] that maps [N, C, L] choose."""
    return np.take_along_axis(values, maps[..., None], axis=3)[..., 0]


def makespans(durations: np.ndarray, maps: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the cycles [N] until everything has ended.

    Args:
        durations: Cycles of every layer where it runs [N, C, L].
        maps: Sub-accelerator of every layer [N, C, L].
        lengths: Number of layers [N, C].
    """
    ends = np.zeros(len(maps))
    for *_, end in _steps(durations, maps, lengths):
        np.maximum(ends, end, out=ends)
    return ends


def timetable(work: Work, assignment: np.ndarray) -> list[Run]:
    """Return what runs when under one map [C, L], for work of one case."""
    maps = assignment[None]
    steps = _steps(chosen(work.cycles, maps), maps, work.lengths)
    return [Run(int(n[0]), int(i[0]), int(k[0]), float(b[0]), float(e[0])) for n, i, k, b, e in steps]


def _steps(durations: np.ndarray, maps: np.ndarray, lengths: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield network, layer, sub-accelerator, begin and end [N] of what runs next in each case; ends are 0 where
    everything has ended.
    """
    cases, networks, longest = maps.shape
    accelerators = int(maps.max(initial=0)) + 1
    left = np.cumsum(durations[:, :, ::-1], axis=2)[:, :, ::-1]
    urgency = (left / (left.max(axis=(1, 2), keepdims=True) + 1.0)).ravel()  # less than a cycle
    rows, first = np.arange(cases), np.arange(cases * networks).reshape(cases, networks) * longest
    maps, durations = maps.ravel(), durations.ravel()
    position, ready = np.zeros((cases, networks), dtype=np.int64), np.zeros((cases, networks))
    free, own_free = np.zeros(cases * accelerators), rows[:, None] * accelerators
    for _ in range(int(lengths.sum(axis=1).max(initial=0))):
        place = first + np.minimum(position, longest - 1)
        runs_on = own_free + maps[place]
        begin = np.where(position < lengths, np.maximum(ready, free[runs_on]), np.inf)
        network = np.argmin(begin - urgency[place], axis=1)
        start, layer, on = begin[rows, network], place[rows, network], runs_on[rows, network]
        going = np.isfinite(start)
        end = np.where(going, start + durations[layer], 0.0)
        free[on] = np.where(going, end, free[on])
        ready[rows, network] = np.where(going, end, ready[rows, network])
        yield network, position[rows, network], maps[layer], start, end
        position[rows, network] += going
