"""Pareto fronts and hypervolume against brute force and closed forms."""

import numpy as np
import pytest

from nas.search.journal import Evaluation
from nas.search.pareto import contenders, hypervolume, pareto_front, surely_dominated
from search_spaces import Architecture

DIRECTIONS = [("accuracy", True), ("macs", False)]


def evaluation(i: int, accuracy: float, macs: float, status: str = "ok") -> Evaluation:
    values = {"accuracy": accuracy, "macs": macs}
    return Evaluation(index=i, architecture=Architecture({"id": i}), status=status, values=values)


def test_front_equals_brute_force():
    generator = np.random.default_rng(0)
    for _ in range(50):
        evaluations = [evaluation(i, *generator.integers(0, 12, 2)) for i in range(40)]
        expected = {
            (e.values["accuracy"], e.values["macs"])
            for e in evaluations
            if not any(
                o.values["accuracy"] >= e.values["accuracy"]
                and o.values["macs"] <= e.values["macs"]
                and o.values != e.values
                for o in evaluations
            )
        }
        front = pareto_front(evaluations, DIRECTIONS)
        assert [(e.values["accuracy"], e.values["macs"]) for e in front] == sorted(expected, key=lambda p: p[1])


def test_infeasible_and_failed_candidates_are_never_on_the_front():
    evaluations = [evaluation(0, 50, 10), evaluation(1, 99, 1, "infeasible"), evaluation(2, 99, 1, "failed")]
    assert [e.index for e in pareto_front(evaluations, DIRECTIONS)] == [0]
    assert pareto_front(evaluations[1:], DIRECTIONS) == []


def test_contenders_are_the_front_and_the_front_of_the_rest():
    generator = np.random.default_rng(3)
    evaluations = [evaluation(i, *generator.random(2)) for i in range(60)]
    front = pareto_front(evaluations, DIRECTIONS)
    second = pareto_front([e for e in evaluations if e not in front], DIRECTIONS)
    assert contenders(evaluations, DIRECTIONS) == front + second
    assert contenders(evaluations[:1], DIRECTIONS) == evaluations[:1]


def test_hypervolume_of_a_staircase():
    # worst (0, 4), best (4, 0); scaled to a unit box, three steps dominate 1/4 * 3/4 ... as drawn
    points = [(0.0, 4.0), (4.0, 4.0), (0.0, 0.0), (2.0, 2.0)]
    result = hypervolume([evaluation(i, *p) for i, p in enumerate(points)], DIRECTIONS)
    assert result.reference == {"accuracy": 0.0, "macs": 4.0}
    assert result.ideal == {"accuracy": 4.0, "macs": 0.0}
    assert result.curve[-1] == (4, pytest.approx(0.25))
    assert [n for n, _ in result.curve] == [1, 2, 3, 4]


def test_hypervolume_never_falls():
    generator = np.random.default_rng(1)
    evaluations = [evaluation(i, *generator.random(2)) for i in range(300)]
    curve = [value for _, value in hypervolume(evaluations, DIRECTIONS, points=50).curve]
    assert len(curve) == 50
    assert np.all(np.diff(curve) >= 0)
    assert 0 < curve[-1] < 1


def test_hypervolume_without_feasible_candidates_is_zero():
    assert hypervolume([evaluation(0, 1, 1, "failed")], DIRECTIONS).curve == [(1, 0.0)]


def test_whoever_may_be_on_the_front_within_intervals_contends_up_to_a_number():
    def measured(index, accuracy, latency, margin):
        interval = {"latency_ms": (latency - margin, latency + margin)}
        values = {"accuracy": accuracy, "latency_ms": latency}
        a = Architecture({"a": index})
        return Evaluation(index=index, architecture=a, status="ok", values=values, intervals=interval)

    objectives = [("accuracy", True), ("latency_ms", False)]
    front, second, tie = measured(0, 90.0, 1.0, 0.1), measured(1, 89.0, 1.05, 0.1), measured(2, 88.0, 1.1, 0.15)
    far = measured(3, 88.0, 2.0, 0.1)
    evaluations = [front, second, far, tie]
    assert surely_dominated(evaluations, objectives).tolist() == [False, False, True, False]
    assert contenders(evaluations, objectives) == [front, second, tie]
    assert contenders(evaluations, objectives, most=2) == [front, second]
    assert contenders(evaluations, objectives, most=0) == [front]
