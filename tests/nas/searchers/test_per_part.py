"""Searchers of parts: turns, halving, replay, and the search of a supernet that was split."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.objectives import Bound, Quality, costs_of
from nas.search.journal import Journal
from nas.search.loop import search
from nas.search.problem import Problem
from nas.searchers import NSGA2, PerPart, Random, RegularizedEvolution, Searcher, violation_within
from nas.subnets import Subnets
from search_spaces import Space
from search_spaces.families.nasbench201 import nasbench201
from supernets import Partition, SplitConfig, Supernet, TrainConfig, phases, split, train_few_shot
from supernets.tasks import Classification
from tests.nas.helpers import Leading, bits, problem
from tests.nas.search.test_search import Interrupted, without_times
from tests.supernets.helpers import Images

KINDS = {"nsga2": NSGA2, "random": Random, "evolution": RegularizedEvolution}


def parts_of(space: Space) -> list[Space]:
    """Four parts by the first two bits: (0, 0), (0, 1), (1, 0), (1, 1)."""
    return [part for half in split(space, "bit0", [(0,), (1,)]) for part in split(half, "bit1", [(0,), (1,)])]


def made(space: Space, kind: str = "nsga2", *, task: Problem | None = None, objectives: int = 2, **options) -> PerPart:
    task = task or problem(space)

    def make(part: Space, number: int):
        violation = violation_within(part, space, task.exact_violation)
        return KINDS[kind](part, objectives=objectives, population=6, seed=number, violation=violation)

    return PerPart(parts_of(space), make, **options)


def searched(searcher: PerPart, space: Space, *, task: Problem | None = None, n: int = 200, journal=None):
    return search(searcher, task or problem(space), journal or Journal(None, {}), space=space, evaluations=n)


def part_of(architecture) -> int:
    return 2 * architecture["bit0"] + architecture["bit1"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_is_searched_and_gets_as_many_candidates(kind):
    space = bits(10)
    found = searched(made(space, kind), space, n=60)
    counts = np.bincount([part_of(evaluation.architecture) for evaluation in found], minlength=4)
    assert len(found) == 60
    assert counts.min() >= 0.6 * counts.max()


def test_a_part_in_which_all_is_known_leaves_the_turns_to_the_others():
    class Once(Searcher):
        def __init__(self, space: Space, *_) -> None:
            self.left = (
                [space.smallest()] if space.decisions[0].choices == (0,) else [space.smallest(), space.largest()]
            )

        def ask(self, pending=()):
            return self.left[:1]

        def tell(self, architectures, losses, violations):
            self.left = [a for a in self.left if a not in architectures]

    space = bits(4)
    searcher = PerPart(split(space, "bit0", [(0,), (1,)]), Once)
    assert len(searched(searcher, space)) == 3
    assert searcher.ask() == []


def test_limits_on_exact_costs_are_those_of_the_whole_space():
    space = bits(8)
    task = problem(space, macs=Bound(high=5))
    part = space.restrict({"bit0": (1,), "bit3": (1,)})
    encodings = part.sample_encodings(50, np.random.default_rng(0))
    whole = np.stack([space.encode(part.decode(row)) for row in encodings])
    violation = violation_within(part, space, task.exact_violation)
    assert np.array_equal(violation(encodings), task.exact_violation(whole))
    assert violation(encodings).max() > 0


class Rewarding(Leading):
    """Accuracy is best where bit 0 is zero and bit 1 is one."""

    def evaluate(self, architecture, fidelity=1.0):
        estimate = super().evaluate(architecture)
        return replace(estimate, value=sum(architecture.values()) + 20 * (part_of(architecture) == 1))


@pytest.mark.parametrize("optimised", [["accuracy"], ["accuracy", "macs"]])
def test_halving_keeps_the_part_with_the_best_values(optimised):
    space = bits(10)
    task = replace(problem(space, Rewarding()), optimised=optimised)
    searcher = made(space, "random", task=task, objectives=len(optimised), halving=True, evaluations=150)
    found = searched(searcher, space, task=task, n=150)
    assert searcher.alive == [1]
    parts = [part_of(evaluation.architecture) for evaluation in found]
    assert set(parts[:24]) == {0, 1, 2, 3}
    assert set(parts[-24:]) == {1}
    alive = [len(set(parts[start : start + 24])) for start in range(0, 144, 24)]
    assert alive == sorted(alive, reverse=True)
    assert 2 in alive


def test_a_part_without_feasible_candidates_is_given_up_first():
    space = bits(6)
    searcher = made(space, "random", objectives=1, halving=True, evaluations=8)
    while len(searcher.alive) == 4:
        asked = searcher.ask()
        infeasible = part_of(asked[0]) != 3
        searcher.tell(asked, np.zeros((len(asked), 1)), np.full(len(asked), float(infeasible)))
    assert 3 in searcher.alive


@pytest.mark.parametrize("halving", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_search_of_parts_resumes_to_the_same_journal(tmp_path, kind, halving):
    space = bits(10)

    def run(path, stop: int | None = None):
        left = [stop]

        def observer(event):
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise Interrupted

        journal = Journal(path, {"searcher": kind})
        searcher = made(space, kind, halving=halving, evaluations=90)
        try:
            search(searcher, problem(space), journal, space=space, evaluations=90, observer=observer)
        finally:
            journal.close()

    run(tmp_path / "whole.jsonl")
    for stop in (1, 30, 20):
        with pytest.raises(Interrupted):
            run(tmp_path / "resumed.jsonl", stop)
    run(tmp_path / "resumed.jsonl")
    assert without_times(tmp_path / "resumed.jsonl") == without_times(tmp_path / "whole.jsonl")


def test_bad_arguments_name_the_value():
    with pytest.raises(ValueError, match="spaces must be one or more parts"):
        PerPart([], lambda space, number: None)
    with pytest.raises(ValueError, match="evaluations must be at least 1 for halving, got None"):
        made(bits(4), halving=True)


# ---- a supernet that was split --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def partition() -> Partition:
    """NAS-Bench-201 at its smallest, split twice while it was trained."""
    torch.manual_seed(0)
    space = nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4)
    config = TrainConfig(epochs=30, batch_size=16, lr=0.1, warmup_fraction=0)

    def make_phases(part: Space, epochs: float):
        return phases(part, replace(config, epochs=epochs))

    return train_few_shot(Supernet(space), make_phases, Images(), config, SplitConfig(rounds=2, repeats=1))


@pytest.mark.parametrize("per_leaf", [False, True])
def test_a_split_supernet_is_searched_as_one_or_by_parts(partition, per_leaf):
    space, images = partition.space, Images(n=64)
    subnets = Subnets(partition, lambda: [images.images])
    accuracy = Quality(Classification(), subnets, lambda fidelity: [(images.images, images.labels)])
    task = Problem(
        objectives=[*costs_of(space), accuracy],
        optimised=["accuracy", "macs"],
        bounds={},
    )
    leaves = [leaf.space for leaf in partition.leaves] if per_leaf else [space]

    def make(part: Space, number: int):
        violation = violation_within(part, space, task.exact_violation)
        return NSGA2(part, objectives=2, population=5, seed=number, violation=violation)

    found = search(PerPart(leaves, make), task, Journal(None, {}), space=space, evaluations=40)
    assert len(found) == 40
    assert all(evaluation.status == "ok" for evaluation in found)
    assert len({partition.leaf_of(evaluation.architecture) for evaluation in found}) >= (4 if per_leaf else 2)
    best = max(found, key=lambda evaluation: evaluation.values["accuracy"])
    assert best.values["accuracy"] > 40  # chance is 25
