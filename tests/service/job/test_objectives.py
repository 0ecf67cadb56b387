"""Objectives of a job: what is known of them, and of limits on them, before anything is trained."""

from dataclasses import replace

import numpy as np
import pytest

from nas.objectives import Computed, Objective, Role
from service.job.building import build_space
from service.job.loading import load_job
from service.job.objectives import known_objectives
from supernets.estimate import Estimate
from tests.service.job.test_job import mistakes_of

HERE = "tests.service.job.test_objectives"


class Wires(Computed):
    """A cost of one's own, from the space alone."""

    name, unit, maximise = "wires", "m", False
    role: Role = "cost"
    low = 0.0

    def __init__(self, space):
        self.space = space
        self.high = float(len(space.decisions))

    def evaluate(self, architecture, fidelity=1.0):
        return Estimate(float(self.evaluate_encodings(self.space.encode(architecture)[None])[0]))

    def evaluate_encodings(self, encodings):
        return (encodings > 0).sum(axis=1).astype(float)


class Warmth(Objective):
    """A cost of one's own, measured on a network; a share."""

    name, unit, maximise = "warmth", "", False
    role: Role = "cost"
    low, high = 0.0, 1.0

    def __init__(self, subnet):
        self.subnet = subnet

    def evaluate(self, architecture, fidelity=1.0):
        return Estimate(0.5)


class Foreign:
    """Says nothing of what it is."""

    name, unit, maximise = "foreign", "", False

    def evaluate(self, architecture, fidelity=1.0):
        return Estimate(0.0)


def limited(name, text):
    return f"search.constraints={{'{HERE}:{name}': '{text}'}}"


@pytest.mark.parametrize("name", ["Wires", "Warmth"])
def test_limits_on_objectives_of_ones_own_are_taken_though_they_are_not_traded_off(name):
    assert load_job("quickstart", [limited(name, "<= 0.5")]).search.constraints == {f"{HERE}:{name}": "<= 0.5"}


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ([limited("Wires", "< 1")], ["'< 1'", "<= number"]),
        ([limited("Wires", "<= -1")], ["impossible", "reach from 0 to"]),
        ([limited("Warmth", ">= 2")], ["impossible", "is from 0 to 1"]),
        ([limited("Foreign", "<= 1")], ["must be a subclass of nas.Objective"]),
        ([f"search.objectives=[accuracy, '{HERE}:Foreign']"], ["must be a subclass of nas.Objective"]),
        ([f"search.objectives=[accuracy, '{HERE}:Gone']"], ["has no 'Gone'"]),
        (["search.objectives=[accuracy, quality, macs]"], ["quality and accuracy are the same"]),
    ],
)
def test_what_is_wrong_with_objectives_of_ones_own_is_said_before_anything_runs(settings, parts):
    (line,) = mistakes_of("quickstart", *settings)
    assert all(part in line for part in parts), line


def test_limits_that_contradict_each_other_are_found_among_computed_objectives_of_ones_own():
    space = build_space(load_job("quickstart"))
    smallest = int(space.costs([space.smallest()])["macs"][0])
    both = f"search.constraints={{macs: '<= {smallest}', '{HERE}:Wires': '>= 3'}}"
    (line,) = mistakes_of("quickstart", both)
    assert f"search.constraints.{HERE}:Wires: '>= 3' is impossible with macs <= {smallest}" in line
    assert np.isfinite(float(line.rsplit(" ", 1)[1]))


def test_costs_that_a_space_does_not_count_are_no_objectives():
    job = load_job("quickstart")
    space = replace(build_space(job), places=None, cost=lambda columns: {"area": next(iter(columns.values()))})
    assert {"macs", "params"} <= set(known_objectives(None, None))
    known = known_objectives(None, space)
    assert "area" in known
    assert not {"macs", "params"} & set(known)
