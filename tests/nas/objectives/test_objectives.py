"""Objectives are known by role and source, whatever they are called."""

import numpy as np
import pytest

from nas import Estimate
from nas.objectives import Bound, Computed, Cost, Objective, Predicted, Role, costs_of
from nas.search.journal import Journal
from nas.search.loop import search
from nas.search.problem import Problem
from nas.search.reachable import contradiction
from nas.searchers import NSGA2
from search_spaces import Decision, Space

SPACE = Space(
    name="chip",
    decisions=tuple(Decision(f"unit{i}", (0, 1, 2)) for i in range(6)),
    cost=lambda columns: {
        "energy_nj": 0.5 * sum(column.astype(float) for column in columns.values()),
        "area": sum(column.astype(np.int64) ** 2 for column in columns.values()),
    },
    units={"energy_nj": "nJ"},
)


class Throughput(Objective):
    """A quality of one's own, measured."""

    name, unit, maximise = "throughput", "1/s", True
    role: Role = "quality"

    def evaluate(self, architecture, fidelity=1.0):
        return Estimate(float(sum(i * choice for i, choice in enumerate(architecture.values()))))


class Wires(Computed):
    """A cost of one's own, computed from the encoding, with a range."""

    name, unit, maximise = "wires", "", False
    role: Role = "cost"
    low, high = 0.0, 12.0

    def __init__(self, space):
        self.space = space

    def evaluate(self, architecture, fidelity=1.0):
        return Estimate(float(self.evaluate_encodings(self.space.encode(architecture)[None])[0]))

    def evaluate_encodings(self, encodings):
        return np.abs(np.diff(encodings, axis=1)).sum(axis=1).astype(float)


class Heat(Wires, Predicted):
    """A cost of one's own, predicted within 1 either way."""

    name = "heat"
    source = "predicted"

    def estimate_encodings(self, encodings):
        value = self.evaluate_encodings(encodings)
        return value, value - 1, value + 1


def test_costs_are_all_that_the_space_computes_with_its_names_and_units():
    costs = {cost.name: cost for cost in costs_of(SPACE)}
    assert list(costs) == ["area", "energy_nj"]
    energy = costs["energy_nj"]
    assert (energy.unit, energy.role, energy.source, energy.maximise) == ("nJ", "cost", "computed", False)
    assert (energy.low, energy.high) == (0.0, 6.0)
    architecture = SPACE.decode(np.array([0, 1, 0, 0, 0, 0]))
    assert energy.evaluate(architecture).value == 0.5
    assert costs["area"].evaluate(architecture).value == 1
    with pytest.raises(KeyError):
        Cost(SPACE, "macs")


def test_one_list_of_objectives_is_parted_by_source():
    wires, heat, throughput = Wires(SPACE), Heat(SPACE), Throughput()
    problem = Problem([wires, throughput, heat], optimised=["throughput", "wires"], bounds={})
    assert (problem.measured, problem.predicted, problem.computed) == ([throughput], [heat], [wires])
    assert [d["name"] for d in problem.describe()] == ["throughput", "wires", "heat"]
    assert [(d["role"], d["source"]) for d in problem.describe()] == [
        ("quality", "measured"),
        ("cost", "computed"),
        ("cost", "predicted"),
    ]
    assert list(problem.exact_losses) == [1]


def test_limits_on_computed_and_predicted_objectives_of_ones_own_are_kept_before_anything_is_evaluated():
    wires, heat = Wires(SPACE), Heat(SPACE)
    bounds = {"wires": Bound(low=1.0, high=4.0), "heat": Bound(high=4.0), "energy_nj": Bound(high=4.0)}
    problem = Problem([*costs_of(SPACE), wires, heat, Throughput()], ["throughput", "wires"], bounds)
    searcher = NSGA2(SPACE, objectives=2, population=8, seed=0, violation=problem.exact_violation)
    events = []
    done = search(searcher, problem, Journal(None, {}), space=SPACE, evaluations=40, observer=events.append)
    assert len(done) == 40
    for evaluation in done:
        assert evaluation.status == "ok"
        assert 1 <= evaluation.values["wires"] <= 3  # 4 may be 5 of heat
        assert evaluation.values["energy_nj"] <= 4.0
    best = max(evaluation.values["throughput"] for evaluation in done)
    assert events[-1]["best_quality"] == {"name": "throughput", "value": best, "unit": "1/s"}


def test_limits_that_no_architecture_keeps_together_are_found_for_any_computed_objective():
    wires, area = Wires(SPACE), Cost(SPACE, "area")
    many = (wires, Bound(low=10.0))
    assert contradiction(SPACE, [many, (area, Bound(high=8.0))]) == (1, 12.0)
    assert contradiction(SPACE, [many, (area, Bound(high=12.0))]) is None
