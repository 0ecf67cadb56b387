"""Several candidates at the same time: order, resume, quality, use of the workers."""

import json

import numpy as np
import pytest

from nas.objectives import Bound
from nas.search.journal import Journal, read_evaluations
from nas.search.loop import search
from nas.search.stopping import Stopping
from nas.searchers import NSGA2, Random, RegularizedEvolution
from nas.searchers.halving import SuccessiveHalving
from nas.searchers.surrogate import Surrogate
from supernets.estimate import Estimate
from tests.nas.helpers import Leading, bits, problem
from tests.nas.search.test_search import Interrupted, without_times
from tests.nas.simulated import SimulatedWorkers

SEARCHERS = {
    "nsga2": NSGA2,
    "random": Random,
    "regularized_evolution": RegularizedEvolution,
    "surrogate": Surrogate,
    "halving": SuccessiveHalving,
}
UNEQUAL = (1.0, 1.1, 1.3, 2.0, 2.9, 4.7, 7.3, 20.0)


class Rugged(Leading):
    """Every bit counts, neighbours depend on each other."""

    def evaluate(self, architecture, fidelity=1.0):
        ones = np.array(list(architecture.values()))
        weights = 1 + np.arange(len(ones)) % 5
        super().evaluate(architecture)
        return Estimate(float(ones @ weights - 2 * (ones[1:] * ones[:-1]).sum()))


def run(searcher, *, seconds=UNEQUAL, evaluations=48, seed=0, path=None, objective=None, **options):
    """A search of 10 bits with workers of these speeds; one worker where `seconds` is None."""
    space = bits(10)
    task = problem(space, objective or Rugged(), **options.pop("bounds", {}))
    made = SEARCHERS[searcher](space, objectives=2, population=8, seed=seed, violation=task.exact_violation)
    workers = None if seconds is None else SimulatedWorkers(task.measured, seconds)
    journal = Journal(path, {"seed": seed})
    try:
        found = search(made, task, journal, space=space, evaluations=evaluations, evaluators=workers, **options)
    finally:
        journal.close()
    return found, workers


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_unequal_workers_are_never_idle_and_the_budget_is_exact(searcher):
    found, workers = run(searcher)
    assert len(found) == len({e.architecture for e in found}) == 48
    ideal = 48 / sum(1 / seconds for seconds in UNEQUAL)
    assert workers.now <= ideal + max(UNEQUAL)


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_resumed_at_any_point_the_journal_is_what_it_would_have_been(tmp_path, searcher):
    """The workers begin anew with what was under way, all at the same time: equal speeds make the order the same."""
    equal = [1.0] * 4
    run(searcher, seconds=equal, evaluations=36, path=tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    for kept in (4 * 6 + 1,):
        (tmp_path / "part.jsonl").write_text("".join(lines[:kept]))
        objective = Rugged()
        run(searcher, seconds=equal, evaluations=36, path=tmp_path / "part.jsonl", objective=objective)
        assert without_times(tmp_path / "part.jsonl") == without_times(tmp_path / "whole.jsonl")
        assert len(objective.calls) == 36 - (kept - 1)


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_a_journal_is_the_same_search_whatever_evaluated_it(tmp_path, searcher):
    """Replayed by workers of other speeds, or by a single process, it says the same, and what follows is the same."""
    path = tmp_path / "j.jsonl"
    first, _ = run(searcher, evaluations=36, path=path)
    again, workers = run(searcher, evaluations=36, path=path, seconds=UNEQUAL[::-1])
    assert again == first
    assert workers.busy == 0
    ends = []
    for seconds in ([1.0] * 8, [2.0] * 8):
        (tmp_path / "longer.jsonl").write_text(path.read_text())
        ends.append(run(searcher, evaluations=44, path=tmp_path / "longer.jsonl", seconds=seconds)[0])
    assert [e.architecture for e in ends[0]] == [e.architecture for e in ends[1]]
    assert [e.architecture for e in ends[0][:36]] == [e.architecture for e in first]


def test_interrupted_parallel_searches_lose_nothing(tmp_path):
    def observe(event):
        if event["done"] == 21:
            raise Interrupted

    with pytest.raises(Interrupted):
        run("surrogate", path=tmp_path / "j.jsonl", observer=observe)
    before = read_evaluations(tmp_path / "j.jsonl")[1]
    found, _ = run("surrogate", path=tmp_path / "j.jsonl")
    assert len(found) == 48
    assert found[: len(before)] == before


def test_limits_and_failures_are_the_same_with_several_workers():
    class Moody(Rugged):
        def evaluate(self, architecture, fidelity=1.0):
            if architecture["bit3"]:
                raise RuntimeError("out of memory")
            return super().evaluate(architecture)

    found, _ = run("nsga2", objective=Moody(), bounds={"macs": Bound(high=6)})
    assert len(found) == 48
    assert all(sum(e.architecture.values()) <= 6 for e in found)
    assert {e.status for e in found} == {"ok", "failed"}


def test_a_search_stops_where_little_gain_is_expected():
    stopping = Stopping(gain_percent=0.5)
    found, _ = run("surrogate", seconds=None, evaluations=1000, stopping=stopping)
    assert 8 < len(found) < 300
    assert "expected to gain" in stopping.reason
    patient, _ = run("surrogate", seconds=None, evaluations=len(found), stopping=Stopping())
    assert [e.architecture for e in patient] == [e.architecture for e in found]


def test_a_search_stops_when_its_hours_are_over(tmp_path):
    path = tmp_path / "j.jsonl"
    run("random", seconds=None, evaluations=20, path=path)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    aged = [record | ({"seconds": 60.0} if "seconds" in record else {}) for record in records]
    path.write_text("".join(json.dumps(record) + "\n" for record in aged))
    stopping = Stopping(hours=0.25)
    found, _ = run("random", seconds=None, evaluations=100, path=path, stopping=stopping)
    assert 15 <= len(found) <= 20
    assert stopping.reason == "0.25 h are over"


# ---- parts of the data ----------------------------------------------------------------------------------------------


class Images(Rugged):
    """An accuracy whose smaller parts say less."""

    uses_fidelity = True

    def evaluate(self, architecture, fidelity=1.0):
        wobble = np.random.default_rng(sum(b << i for i, b in enumerate(architecture.values()))).normal()
        return Estimate(super().evaluate(architecture).value + wobble * (1 - fidelity))


def test_halving_spends_shares_of_evaluations_and_only_whole_ones_are_on_the_front():
    from nas.search.pareto import pareto_front

    found, _ = run("halving", seconds=None, objective=Images(), evaluations=20)
    cost = sum(e.fidelity for e in found)
    assert 18 < cost <= 20 + 1e-6
    assert {round(e.fidelity, 6) for e in found} == {0.1, 0.3, 1.0}
    assert len({e.architecture for e in found}) > 40
    front = pareto_front(found, problem(bits(10)).directions)
    assert front
    assert all(e.fidelity == 1 for e in front)


def test_a_journal_of_shares_is_resumed_and_says_them(tmp_path):
    run("halving", seconds=None, objective=Images(), evaluations=12, path=tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    assert {json.loads(line).get("fidelity", 1.0) for line in lines[1:]} == {0.1, 0.3, 1.0}
    (tmp_path / "part.jsonl").write_text("".join(lines[:20]))
    run("halving", seconds=None, objective=Images(), evaluations=12, path=tmp_path / "part.jsonl")
    assert without_times(tmp_path / "part.jsonl") == without_times(tmp_path / "whole.jsonl")
