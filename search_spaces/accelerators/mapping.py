"""Which layer runs on which sub-accelerator: the least energy within a deadline.

Paper: Yang et al., NASAIC, arXiv 2002.04116, section IV: the mapper and scheduler, a heuristic for a problem that is
NP-hard.
Differs: the paper gives no details that can be followed. Here every layer first goes where it needs the least energy.
While the schedule is late, the layer moves that saves most cycles for its energy; a move that meets the deadline is
taken at once, the cheapest first. Then layers move back where that saves energy and the deadline holds. The same begins
from other maps, and the best is taken: every layer where it is fastest, all layers balanced and, where the deadline is
still missed, whole networks on one sub-accelerator each.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from search_spaces.accelerators.schedule import NEVER, Work, chosen, makespans

_MOST_MOVES = 16  # that are tried for one case before one is made
_MOST_STARTS = 16  # of whole networks on one sub-accelerator each
_LEAST = 1e-12
_CASES_AT_ONCE = 512


class Assignment(NamedTuple):
    """Maps [N, C, L], and the cycles [N] and the energy [N] that follow from them."""

    maps: np.ndarray
    cycles: np.ndarray
    energy: np.ndarray

    def of(self, rows: np.ndarray) -> Assignment:
        """Return some of the cases, in this order."""
        return Assignment(*(part[rows] for part in self))

    def put(self, rows: np.ndarray, other: Assignment) -> None:
        """Replace some of the cases."""
        for whole, part in zip(self, other):
            whole[rows] = part


def assigned(work: Work, deadline: float | None = None) -> Assignment:
    """Return maps that need little energy within a deadline, or are fast where they miss it.

    Args:
        work: Layers of N cases.
        deadline: Most cycles until all networks have ended; None for no limit.
    """
    cases = len(work.lengths)
    pieces = [np.arange(start, min(start + _CASES_AT_ONCE, cases)) for start in range(0, cases, _CASES_AT_ONCE)]
    found = [_assigned(work.of(rows), np.inf if deadline is None else deadline) for rows in pieces]
    return Assignment(*(np.concatenate(column) for column in zip(*found)))


def least_cycles(work: Work) -> np.ndarray:
    """Return cycles [N] that no schedule is faster than: the longest network where every layer is fastest, or the work
    of all shared out evenly.
    """
    fastest = work.cycles.min(axis=3).sum(axis=2)
    usable = (work.cycles.sum(axis=(1, 2)) < NEVER).sum(axis=1)
    return np.maximum(fastest.max(axis=1), fastest.sum(axis=1) / np.maximum(usable, 1))


def _assigned(work: Work, deadline: float) -> Assignment:
    best = _timed(work, np.argmin(work.energy, axis=3))
    late = np.flatnonzero(best.cycles > deadline)
    if not len(late):
        return best
    hopeless = least_cycles(work) > deadline
    hopeful = late[~hopeless[late]]
    best.put(hopeful, _improved(work.of(hopeful), best.of(hopeful), deadline))
    for maps, also_in_time in _other_starts(work):
        again = late if also_in_time else np.flatnonzero(best.cycles > deadline)
        start = _timed(work.of(again), maps[again])
        places = np.flatnonzero(~hopeless[again])
        start.put(places, _improved(work.of(again[places]), start.of(places), deadline))
        better = np.flatnonzero(_is_better(start, best.of(again), deadline))
        best.put(again[better], start.of(better))
    return best


def _is_better(one: Assignment, other: Assignment, deadline: float) -> np.ndarray:
    """Return whether each map [N] is less late than another one, or needs less energy where both are in time."""
    late, other_late = (np.maximum(each.cycles, deadline) for each in (one, other))
    return (late < other_late) | ((late == other_late) & (one.energy < other.energy))


def _improved(work: Work, start: Assignment, deadline: float) -> Assignment:
    return _cheaper(work, _faster(work, start, deadline), deadline)


def _timed(work: Work, maps: np.ndarray) -> Assignment:
    energy = chosen(work.energy, maps).sum(axis=(1, 2))
    return Assignment(maps, makespans(chosen(work.cycles, maps), maps, work.lengths), energy)


def _other_starts(work: Work) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield other maps [N, C, L] to begin from, and whether they are tried where the deadline is kept already."""
    _, networks, _, accelerators = work.cycles.shape
    yield np.argmin(work.cycles, axis=3), True
    yield _balanced(work), True
    for on in list(product(range(accelerators), repeat=networks))[:_MOST_STARTS]:
        yield np.broadcast_to(np.array(on)[None, :, None], work.cycles.shape[:3]), False


def _balanced(work: Work) -> np.ndarray:
    """Return maps that give each layer, the longest first, to the sub-accelerator that would be done first."""
    cases, networks, longest, accelerators = work.cycles.shape
    cycles = work.cycles.reshape(cases, -1, accelerators)
    order = np.argsort(-cycles.min(axis=2), axis=1, kind="stable")
    maps, load, rows = np.zeros(cycles.shape[:2], dtype=np.int64), np.zeros((cases, accelerators)), np.arange(cases)
    for layer in order.T:
        on = np.argmin(load + cycles[rows, layer], axis=1)
        maps[rows, layer] = on
        load[rows, on] += cycles[rows, layer, on]
    return maps.reshape(cases, networks, longest)


# ---- moves ----------------------------------------------------------------------------------------------------------


def _faster(work: Work, start: Assignment, deadline: float) -> Assignment:
    """Return the maps after moves of single layers, until the deadline is kept or no move saves cycles."""
    now = Assignment(*(part.copy() for part in start))
    late = np.flatnonzero(now.cycles > deadline)
    while len(late):
        part, here = now.of(late), work.of(late)
        tried, rows = _moved(here, part, _worth(here, part.maps))
        saved = part.cycles[rows] - tried.cycles
        dearer = np.maximum(tried.energy - part.energy[rows], _LEAST)
        value = np.where(tried.cycles <= deadline, np.finfo(float).max / (1 + dearer), saved / dearer)
        late = _take_best(now, late, tried, rows, np.where(saved > 0, value, -np.inf))
        late = late[now.cycles[late] > deadline]
    return now


def _cheaper(work: Work, start: Assignment, deadline: float) -> Assignment:
    """Return the maps after moves of single layers that save energy and keep the deadline."""
    now = Assignment(*(part.copy() for part in start))
    going = np.flatnonzero(now.cycles <= deadline)
    while len(going):
        part, here = now.of(going), work.of(going)
        dearer = _change(here.energy, part.maps)
        tried, rows = _moved(here, part, np.where(dearer < 0, -dearer, -np.inf))
        saved = part.energy[rows] - tried.energy
        allowed = (tried.cycles <= deadline) & (saved > _LEAST * part.energy[rows])
        going = _take_best(now, going, tried, rows, np.where(allowed, saved, -np.inf))
    return now


def _take_best(
    now: Assignment, cases: np.ndarray, tried: Assignment, rows: np.ndarray, value: np.ndarray
) -> np.ndarray:
    """Put the most valuable map of each case in its place; return the cases that have one."""
    order = np.lexsort((-value, rows))
    firsts = order[np.unique(rows[order], return_index=True)[1]]
    firsts = firsts[np.isfinite(value[firsts])]
    now.put(moved := cases[rows[firsts]], tried.of(firsts))
    return moved


def _moved(work: Work, start: Assignment, worth: np.ndarray) -> tuple[Assignment, np.ndarray]:
    """Return the maps after each of the moves that seem most worth it, and the case of each.

    Args:
        work: Layers of N cases.
        start: Maps to begin from.
        worth: Worth of moving each layer to each sub-accelerator [N, C, L, K], infinitely little where it cannot.
    """
    cases, _, _, accelerators = work.cycles.shape
    flat = worth.reshape(cases, -1)
    most = min(_MOST_MOVES, flat.shape[1])
    best = np.argpartition(-flat, most - 1, axis=1)[:, :most]
    rows, columns = np.nonzero(np.isfinite(np.take_along_axis(flat, best, axis=1)))
    moves = best[rows, columns]
    layers, to = np.divmod(moves, accelerators)
    each = np.arange(len(rows))
    maps = start.maps[rows].reshape(len(rows), flat.shape[1] // accelerators)
    maps[each, layers] = to
    durations = chosen(work.cycles, start.maps)[rows].reshape(maps.shape)
    durations[each, layers] = work.cycles.reshape(cases, -1)[rows, moves]
    change = _change(work.energy, start.maps).reshape(cases, -1)[rows, moves]
    shape = (len(rows), *start.maps.shape[1:])
    maps = maps.reshape(shape)
    cycles = makespans(durations.reshape(shape), maps, work.lengths[rows])
    return Assignment(maps, cycles, start.energy[rows] + change), rows


def _change(values: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return by how much values [N, C, L, K] differ from those that maps [N, C, L] choose."""
    return values - chosen(values, maps)[..., None]


def _worth(work: Work, maps: np.ndarray) -> np.ndarray:
    """Return what moving a layer [N, C, L, K] seems to save: cycles of the fullest sub-accelerator, for its energy."""
    accelerators = work.cycles.shape[3]
    own = chosen(work.cycles, maps)[..., None]
    runs = maps[..., None] == np.arange(accelerators)
    load = np.where(runs, own, 0.0).sum(axis=(1, 2))[:, None, None, :]
    there = load + work.cycles
    here = chosen(np.broadcast_to(load, work.cycles.shape), maps)[..., None]
    saved = np.maximum(load.max(axis=3)[..., None] - np.maximum(there, here - own), own - work.cycles)
    dearer = np.maximum(_change(work.energy, maps), _LEAST)
    worth = np.where(saved > 0, saved / dearer, saved * dearer)
    return np.where(work.present[..., None] & ~runs & (work.cycles < NEVER), worth, -np.inf)
