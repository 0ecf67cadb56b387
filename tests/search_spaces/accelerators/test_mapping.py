"""Schedules against a naive second scheduler, and maps against an exhaustive oracle."""

from collections.abc import Iterator
from itertools import pairwise, permutations, product

import numpy as np
import pytest

from search_spaces.accelerators.mapping import assigned, least_cycles
from search_spaces.accelerators.schedule import NEVER, Work, chosen, makespans, timetable


def case(generator: np.random.Generator, lengths: list[int], accelerators: int = 2, *, like: bool = False) -> Work:
    """One random case; with `like`, energy and time of a layer go the same way on all sub-accelerators."""
    shape = (1, len(lengths), max(lengths), accelerators)
    present = (np.arange(shape[2]) < np.array(lengths)[:, None])[None, :, :, None]
    cycles, energy = generator.integers(1, 1000, shape).astype(float), generator.random(shape) * 1000
    if like:
        size = generator.integers(1, 100, (*shape[:3], 1))
        cycles, energy = size * generator.integers(1, 9, shape).astype(float), size * generator.random(shape)
    return Work(cycles * present, energy * present, np.array([lengths]))


def all_maps(work: Work) -> np.ndarray:
    layers = int(work.lengths.sum())
    maps = np.zeros((work.cycles.shape[3] ** layers, *work.cycles.shape[1:3]), dtype=np.int64)
    maps[:, work.present[0]] = list(product(range(work.cycles.shape[3]), repeat=layers))
    return maps


def orders(lengths: list[int]) -> Iterator[tuple[int, ...]]:
    """Every order in which the layers of networks can be begun."""
    yield from set(permutations([network for network, length in enumerate(lengths) for _ in range(length)]))


def best_makespans(work: Work, maps: np.ndarray) -> np.ndarray:
    """Least cycles [N] of maps over all orders."""
    best = np.full(len(maps), np.inf)
    for order in orders(work.lengths[0].tolist()):
        ready, free = np.zeros((len(maps), work.cycles.shape[1])), np.zeros((len(maps), work.cycles.shape[3]))
        rows, position = np.arange(len(maps)), [0] * work.cycles.shape[1]
        for network in order:
            on = maps[:, network, position[network]]
            end = np.maximum(ready[:, network], free[rows, on]) + work.cycles[0, network, position[network], on]
            ready[:, network] = free[rows, on] = end
            position[network] += 1
        best = np.minimum(best, ready.max(axis=1))
    return best


def times(work: Work, maps: np.ndarray) -> np.ndarray:
    many = work.of(np.zeros(len(maps), dtype=np.int64))
    return makespans(chosen(many.cycles, maps), maps, many.lengths)


def test_one_sub_accelerator_takes_as_long_as_all_layers_together():
    work = case(np.random.default_rng(0), [5, 3], accelerators=1)
    assert assigned(work, 1.0).cycles.tolist() == [work.cycles.sum()]


def test_two_equal_ones_are_no_faster_than_the_longest_network_and_half_of_the_work():
    generator = np.random.default_rng(1)
    for lengths in ([4, 4], [7, 1], [2, 3, 3]):
        one = case(generator, lengths, accelerators=1)
        work = Work(np.repeat(one.cycles, 2, axis=3), np.repeat(one.energy, 2, axis=3), one.lengths)
        least = max(one.cycles.sum(axis=(2, 3)).max(), one.cycles.sum() / 2)
        assert least_cycles(work)[0] == pytest.approx(least)
        assert (times(work, all_maps(work)) >= least).all()
        assert assigned(work, least).cycles[0] >= least


def test_a_timetable_keeps_the_order_of_layers_and_runs_one_at_a_time():
    work = case(np.random.default_rng(2), [6, 4, 5], accelerators=3)
    maps = assigned(work, 1500.0).maps[0]
    runs = timetable(work, maps)
    assert len(runs) == 15
    for network, length in enumerate((6, 4, 5)):
        own = [run for run in runs if run.network == network]
        assert [run.layer for run in own] == list(range(length))
        assert all(before.end <= after.begin for before, after in pairwise(own))
    for accelerator in range(3):
        own = sorted((run for run in runs if run.accelerator == accelerator), key=lambda run: run.begin)
        assert all(before.end <= after.begin for before, after in pairwise(own))
    for run in runs:
        assert run.accelerator == maps[run.network, run.layer]
        assert run.end - run.begin == work.cycles[0, run.network, run.layer, run.accelerator]
    assert max(run.end for run in runs) == times(work, maps[None])[0]


@pytest.mark.parametrize("like", [False, True])
def test_the_mapper_keeps_deadlines_that_the_oracle_keeps_with_little_more_energy(like):
    """The oracle tries every map and every order: the goals are 95 % of the deadlines, and 10 % more energy."""
    generator = np.random.default_rng(3)
    possible, kept, ratios = 0, 0, []
    for _ in range(25):
        first = int(generator.integers(1, 5))
        work = case(generator, [first, int(generator.integers(1, 9 - first))], like=like)
        maps = all_maps(work)
        cycles = best_makespans(work, maps)
        energy = chosen(work.of(np.zeros(len(maps), dtype=np.int64)).energy, maps).sum(axis=(1, 2))
        for deadline in np.quantile(cycles, [0.0, 0.1, 0.3, 0.6]):
            found = assigned(work, float(deadline))
            possible += 1
            if found.cycles[0] <= deadline:
                kept += 1
                ratios.append(found.energy[0] / energy[cycles <= deadline].min())
            assert found.cycles[0] == times(work, found.maps)[0]
            assert found.energy[0] == pytest.approx(chosen(work.energy, found.maps).sum())
    assert kept / possible >= 0.95
    assert np.mean(ratios) <= 1.1
    assert np.mean(np.array(ratios) <= 1.1) >= 0.9  # 0.97 in 400 deadlines of each kind


def test_without_a_deadline_every_layer_goes_where_it_needs_the_least_energy():
    work = case(np.random.default_rng(4), [5, 5], accelerators=3)
    assert assigned(work).energy[0] == pytest.approx(work.energy.min(axis=3).sum())


def test_many_cases_are_mapped_as_each_alone():
    generator = np.random.default_rng(5)
    cases = [case(generator, [4, 3]) for _ in range(30)]
    many = Work(*(np.concatenate(parts) for parts in zip(*cases)))
    together = assigned(many, 1200.0)
    for row, work in enumerate(cases):
        alone = assigned(work, 1200.0)
        assert alone.maps[0].tolist() == together.maps[row].tolist()
        assert (alone.cycles[0], alone.energy[0]) == (together.cycles[row], pytest.approx(together.energy[row]))


def test_nothing_runs_on_a_sub_accelerator_that_is_not_used():
    work = case(np.random.default_rng(6), [4, 4])
    work.cycles[0, ..., 1] = work.energy[0, ..., 1] = NEVER
    found = assigned(work, 1.0)
    assert (found.maps[work.present] == 0).all()
    assert found.cycles[0] == work.cycles[0, ..., 0].sum()
