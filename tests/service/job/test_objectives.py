"""Objectives of a job: what is known of them, and of limits on them, before anything is trained."""

from dataclasses import replace

import numpy as np
import pytest

from nas.objectives import Computed, Objective, Role
from service.errors import InvalidJob
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


def warned(*sets: str) -> list[str]:
    told: list[str] = []
    load_job("quickstart", sets, warn=told.append)
    return told


@pytest.mark.parametrize("value", ["3", "3 ms", "<= 3", "<=3 ms", "0.003 s"])
def test_a_limit_on_latency_in_every_writing_says_something(value: str) -> None:
    assert warned(f"search.constraints.latency_ms={value}") == []


def test_a_limit_without_the_second_equals_sign_is_understood() -> None:
    for setting in ("search.constraints.latency_ms<=3", "search.constraints.latency_ms <= 3"):
        assert load_job("quickstart", [setting]).search.constraints == {"latency_ms": "<= 3"}


@pytest.mark.parametrize(
    ("setting", "form"),
    [
        ("latency_ms<=3", "--set 'search.constraints.latency_ms=<= 3'"),
        ("search.constraints.latency_ms<3", "--set 'search.constraints.latency_ms=<= 3'"),
        ("search.constraints.accuracy>60", "--set 'search.constraints.accuracy=>= 60'"),
        ("search.constraints.latency_ms", "--set 'search.constraints.latency_ms=<= 3'"),
        ("train.epochs", "--set train.epochs=5"),
    ],
)
def test_a_limit_that_is_not_understood_shows_the_right_form(setting: str, form: str) -> None:
    with pytest.raises(InvalidJob, match="must be path=value") as refused:
        load_job("quickstart", [setting])
    assert form in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("accuracy=>= 0.9", "'>= 0.9' means 0.9 %; if a share is meant, write '>= 90 %'"),
        ("accuracy=0.9", "0.9 means 0.9 %"),
        ("accuracy=>= 0", "'>= 0' says nothing, every network keeps it"),
        ("macs=1 G", "says nothing, every network keeps it; macs of small_mobilenet_v3 reach from"),
    ],
)
def test_a_limit_that_says_nothing_is_warned_of(setting: str, told: str) -> None:
    (line,) = warned(f"search.constraints.{setting}")
    assert line.startswith(f"search.constraints.{setting.partition('=')[0]}: ")
    assert told in line


def test_a_limit_in_another_unit_is_refused() -> None:
    with pytest.raises(InvalidJob, match="'GB' is not a unit of this objective; allowed: ns, us"):
        load_job("quickstart", ["search.constraints.latency_ms=3 GB"])


def test_costs_of_a_space_with_mistakes_are_not_called_unknown():
    bits = ["space.precision={weights: [8, 4]}", "search.objectives=[accuracy, bytes]"]
    with pytest.raises(InvalidJob) as caught:
        load_job("quickstart", [*bits, "search.constraints={weight_bits_by_layer: 4, latency: 3}"])
    assert [line.split(":")[0] for line in caught.value.mistakes] == [
        "space.precision.weights",
        "search.constraints.latency",  # no cost of any space, but nearly the name of an objective
    ]
