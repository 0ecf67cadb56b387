"""Searchers, search, journal, resume."""

import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

from nas.objectives import Bound, Cost, Predicted, Role, parse_bound
from nas.search.config import SearchConfig
from nas.search.journal import Journal, read_evaluations
from nas.search.loop import search
from nas.search.pareto import pareto_front
from nas.search.problem import Problem
from nas.searchers import NSGA2, Random, RegularizedEvolution
from search_spaces import Architecture, Space
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from supernets.estimate import Estimate
from tests.killing import kill_after_progress
from tests.nas.helpers import Leading, bits, problem

SEARCHERS = {"nsga2": NSGA2, "regularized_evolution": RegularizedEvolution, "random": Random}


def run(task, space, *, searcher="nsga2", evaluations=200, path=None, seed=0, population=20, observer=lambda e: None):
    made = SEARCHERS[searcher](space, objectives=2, population=population, seed=seed, violation=task.exact_violation)
    journal = Journal(path, {"seed": seed, "searcher": searcher})
    try:
        return search(made, task, journal, space=space, evaluations=evaluations, observer=observer)
    finally:
        journal.close()


def without_times(path: Path) -> list[dict]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def test_nsga2_finds_the_true_front():
    space = bits(12)
    task = problem(space)
    front = pareto_front(run(task, space, evaluations=900), task.directions)
    assert sorted((e.values["accuracy"], e.values["macs"]) for e in front) == [(i, i) for i in range(13)]


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_no_architecture_is_evaluated_twice(searcher):
    space = small_mobilenet_v3(depths=(1, 2), expands=(2, 3), kernels=(3, 5))
    objective = Leading()
    evaluations = run(problem(space, objective), space, searcher=searcher, evaluations=150)
    assert len(objective.calls) == len(set(objective.calls)) == len(evaluations) == 150
    assert all(architecture in space for architecture in objective.calls)


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_exact_limits_are_kept_without_evaluating_anything_outside(searcher):
    space = bits(14)
    objective = Leading()
    evaluations = run(problem(space, objective, macs=Bound(high=4)), space, searcher=searcher, evaluations=120)
    assert len(evaluations) == 120
    assert all(sum(a.values()) <= 4 for a in objective.calls)


def test_measured_limits_are_recorded_and_kept_off_the_front():
    space = bits(10)
    task = problem(space, accuracy=Bound(low=3))
    evaluations = run(task, space, evaluations=400)
    infeasible = [e for e in evaluations if e.status == "infeasible"]
    assert infeasible
    assert all("accuracy" in e.reason and e.values["accuracy"] < 3 for e in infeasible)
    assert {e.values["accuracy"] for e in pareto_front(evaluations, task.directions)} == set(range(3, 11))


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_an_exhausted_space_ends_the_search(searcher):
    space = bits(4)
    assert len(run(problem(space), space, searcher=searcher, evaluations=1000, population=8)) == 16


def test_a_failing_candidate_is_recorded_with_its_reason_and_the_search_goes_on():
    class Moody(Leading):
        def evaluate(self, architecture, fidelity=1.0):
            value = super().evaluate(architecture)
            if architecture["bit3"]:
                raise RuntimeError("out of memory")
            return Estimate(float("nan")) if architecture["bit4"] else value

    space = bits(10)
    evaluations = run(problem(space, Moody()), space, evaluations=200)
    failed = [e for e in evaluations if e.status == "failed"]
    assert len(evaluations) == 200
    assert {e.reason for e in failed} == {"RuntimeError: out of memory", "ValueError: accuracy is nan"}
    assert all("accuracy" not in e.values for e in failed)
    assert all(e.status == "ok" for e in evaluations if not e.architecture["bit3"] and not e.architecture["bit4"])


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_resumed_search_writes_the_journal_of_an_uninterrupted_one(tmp_path, searcher):
    space = bits(12)

    def stop_at(n):
        def observe(event):
            if event["done"] == n:
                raise Interrupted

        return observe

    run(problem(space), space, searcher=searcher, path=tmp_path / "whole.jsonl")
    for n in (7, 33, 150):
        with pytest.raises(Interrupted):
            run(problem(space), space, searcher=searcher, path=tmp_path / "parts.jsonl", observer=stop_at(n))
    objective = Leading()
    run(problem(space, objective), space, searcher=searcher, path=tmp_path / "parts.jsonl")
    assert without_times(tmp_path / "whole.jsonl") == without_times(tmp_path / "parts.jsonl")
    assert len(objective.calls) == 50  # what the journal knew was not evaluated again


class Slow(Leading):
    def evaluate(self, architecture, fidelity=1.0):
        time.sleep(0.01)
        return super().evaluate(architecture)


def _search_in_process(path: str) -> None:
    space = bits(12)
    run(problem(space, Slow()), space, path=Path(path))


@pytest.mark.integration
def test_a_search_killed_at_random_moments_writes_the_same_journal(tmp_path):
    space = bits(12)
    run(problem(space), space, path=tmp_path / "whole.jsonl")
    killed = tmp_path / "killed.jsonl"
    for delay in np.random.default_rng().uniform(0.0, 0.3, size=3):
        kill_after_progress(_search_in_process, killed, killed, delay)
    process = multiprocessing.get_context("spawn").Process(target=_search_in_process, args=(str(killed),))
    process.start()
    process.join()
    assert without_times(tmp_path / "whole.jsonl") == without_times(tmp_path / "killed.jsonl")


def test_half_a_last_line_is_dropped(tmp_path):
    space, path = bits(12), tmp_path / "j.jsonl"
    run(problem(space), space, path=path, evaluations=50)
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    run(problem(space), space, path=path, evaluations=50)
    assert len(without_times(path)) == 51
    assert read_evaluations(path)[1][-1].index == 49


def test_a_journal_of_another_search_or_a_damaged_one_is_refused(tmp_path):
    space, path = bits(12), tmp_path / "j.jsonl"
    run(problem(space), space, path=path, evaluations=20)
    with pytest.raises(ValueError, match="journal of another search: its seed is 0, this one's is 5"):
        run(problem(space), space, path=path, seed=5)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "{half", *lines[4:]]) + "\n")
    with pytest.raises(ValueError, match="line 4, is damaged"):
        run(problem(space), space, path=path)


@pytest.mark.parametrize(("text", "low", "high"), [("<= 5e6", None, 5e6), (">=60", 60, None), (">= 1, <= 2", 1, 2)])
def test_bounds_are_parsed(text, low, high):
    assert parse_bound(text) == Bound(low, high)


@pytest.mark.parametrize("text", ["5e6", "< 5", "<= five", "<= 1, <= 2", ""])
def test_bad_bounds_are_refused(text):
    with pytest.raises(ValueError, match="a constraint is written '<= number'"):
        parse_bound(text)


def test_contradictory_bounds_are_refused():
    with pytest.raises(ValueError, match=r"no value is both >= 3 and <= 2"):
        parse_bound(">= 3, <= 2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluations": 0}, "evaluations must be at least 1, got 0"),
        ({"population": 1}, "population must be at least 2, got 1"),
        ({"objectives": []}, "objectives must be one or more distinct names"),
    ],
)
def test_bad_settings_name_field_and_value(change, message):
    with pytest.raises(ValueError, match=message):
        SearchConfig(**change)


class GuessedTwice(Predicted):
    """Twice the ones, predicted within 1 either way."""

    name, unit, maximise = "latency_ms", "ms", False
    role: Role = "cost"

    def __init__(self, space: Space) -> None:
        self.space, self.calls = space, 0

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        value, low, high = self.estimate_encodings(self.space.encode(architecture)[None])
        return Estimate(float(value[0]), float(low[0]), float(high[0]))

    def evaluate_encodings(self, encodings):
        return self.estimate_encodings(encodings)[0]

    def estimate_encodings(self, encodings):
        self.calls += 1
        value = 2.0 * encodings.sum(axis=1)
        return value, value - 1, value + 1


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_limit_on_a_prediction_is_kept_by_the_end_of_its_interval(searcher, tmp_path):
    space, path = bits(12), tmp_path / "journal.jsonl"
    guess, leading = GuessedTwice(space), Leading()
    task = Problem(
        objectives=[Cost(space, "macs"), guess, leading],
        optimised=["accuracy", "latency_ms"],
        bounds={"latency_ms": Bound(high=10.0)},
    )
    found = run(task, space, searcher=searcher, path=path, evaluations=100)
    assert max(evaluation.values["macs"] for evaluation in found) == 4  # 5 ones: 10, at most 11
    assert all(sum(architecture.values()) <= 4 for architecture in leading.calls)
    assert all(e.intervals["latency_ms"] == (e.values["latency_ms"] - 1, e.values["latency_ms"] + 1) for e in found)
    # whole generations, but evolution proposes one child after the other and checks it when it is drawn and evaluated
    assert guess.calls <= (4 * 100 if searcher == "regularized_evolution" else 100 / 4)
    before = path.read_bytes()
    run(task, space, searcher=searcher, path=path, evaluations=100)
    assert path.read_bytes() == before
    assert task.loss_limits == {}
    np.testing.assert_array_equal(task.exact_losses[1](np.eye(12, dtype=int)[:1]), [2.0])


def test_a_journal_of_an_earlier_version_is_continued_and_one_of_other_objectives_refused(tmp_path):
    """Headers did not say role and source then."""
    described = problem(bits(4)).describe()
    earlier = [{name: value for name, value in d.items() if name not in ("role", "source")} for d in described]
    path = tmp_path / "journal.jsonl"
    Journal(path, {"objectives": earlier}).close()
    Journal(path, {"objectives": described}).close()
    other = [{**described[0], "maximise": False}, *described[1:]]
    for differing in (other, described[:-1]):
        with pytest.raises(ValueError, match="the journal of another search: its objectives"):
            Journal(path, {"objectives": differing})
    Journal(tmp_path / "new.jsonl", {"objectives": described}).close()
    other = [{**described[0], "role": "cost"}, *described[1:]]
    with pytest.raises(ValueError, match="the journal of another search: its objectives"):
        Journal(tmp_path / "new.jsonl", {"objectives": other})
