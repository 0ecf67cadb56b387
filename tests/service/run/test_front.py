"""Who is on the final front once latencies are measured."""

import numpy as np
import pytest

from nas.objectives import Bound, Cost, Objective, Role
from nas.search.journal import Evaluation
from nas.search.problem import Problem
from search_spaces import Architecture
from service.run.front import FinalFront
from supernets.estimate import Estimate
from tests.nas.helpers import Leading, bits
from tests.nas.simulated_device import Device, build, space

SPACE = bits(8)


class Ones(Objective):
    """Latency: number of ones, as measured at the end."""

    name, unit, maximise = "latency_ms", "ms", False
    role: Role = "cost"

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return Estimate(float(sum(architecture.values())))


def problem(**bounds: Bound) -> Problem:
    return Problem(
        objectives=[Cost(SPACE, "macs"), Leading(), Ones()],
        optimised=["accuracy", "latency_ms"],
        bounds=bounds,
    )


def evaluations(*, luck: float = 0.7) -> list[Evaluation]:
    """All prefixes of ones, and each of them with the last one as well: slower and no better."""
    found = []
    for n in range(1, 8):
        for last in (0, 1):
            values = dict.fromkeys((f"bit{i}" for i in range(8)), 0) | {f"bit{i}": 1 for i in range(n)} | {"bit7": last}
            architecture = SPACE.architecture(values)
            latency = luck * (n + last)
            found.append(
                Evaluation(
                    index=len(found),
                    architecture=architecture,
                    status="ok",
                    values={"accuracy": float(n), "latency_ms": latency, "macs": n + last},
                    intervals={"latency_ms": (latency, latency)},
                )
            )
    return found


class Stopwatch:
    """Measures the number of ones, with an interval that narrows with the rounds."""

    def __init__(self, width: float = 0.0) -> None:
        self.width, self.asked = width, []

    def __call__(self, architectures: list[Architecture], rounds: int) -> list[Estimate]:
        self.asked.append((len(architectures), rounds))
        reach = self.width / rounds
        ones = [float(sum(architecture.values())) for architecture in architectures]
        return [Estimate(n, n - reach, n + reach) for n in ones]


def test_nobody_stays_who_exceeds_the_limit_when_measured():
    kept, dropped = FinalFront(problem=problem(latency_ms=Bound(high=4.5)), measure=Stopwatch()).settle(evaluations())
    assert [e.values["latency_ms"] for e in kept] == [1, 2, 3, 4]
    over = [e for e in dropped if e.values["latency_ms"] > 4.5]
    assert over
    assert all("is outside its limit when measured again" in e.reason for e in over)
    assert all(e.reason == "dominated when measured again" for e in dropped if e not in over)


def test_who_is_within_the_limit_only_by_chance_is_measured_longer_and_then_out():
    close = Bound(high=4.1)
    watch = Stopwatch(width=4.0)  # 1 either way at first, a third when measured longer
    kept, dropped = FinalFront(problem=problem(latency_ms=close), measure=watch).settle(evaluations())
    assert max(e.intervals["latency_ms"][1] for e in kept) <= 4.1
    assert [e.values["latency_ms"] for e in kept] == [1, 2, 3]
    assert any(rounds > 4 for _, rounds in watch.asked)
    assert any("latency_ms = 4 [3.667, 4.333] is outside its limit" in (e.reason or "") for e in dropped)


def test_whoever_comes_to_the_front_from_behind_is_measured():
    """The lucky ones that the search saw are out; those hidden behind two layers of them come in."""
    lucky = evaluations(luck=0.1)
    true = [
        Evaluation(
            index=100 + i,
            architecture=SPACE.architecture({f"bit{j}": int(j in (0, i)) for j in range(8)}),
            status="ok",
            values={"accuracy": 0.5 - 0.01 * i, "latency_ms": 2.0 + i, "macs": 2},
        )
        for i in range(1, 7)
    ]
    slow = [e for e in lucky if e.values["macs"] >= 3]
    kept, _ = FinalFront(problem=problem(latency_ms=Bound(high=2.5)), measure=Stopwatch()).settle([*slow, *true])
    assert kept
    assert all(e.index >= 100 for e in kept)
    assert all(e.values["latency_ms"] == 2 for e in kept)


def test_without_a_limit_two_layers_are_measured_once():
    watch = Stopwatch(width=4.0)
    kept, _ = FinalFront(problem=problem(), measure=watch).settle(evaluations())
    assert len(watch.asked) == 1
    assert len(kept) == 7


def test_predicted_stands_beside_measured():
    table, made = build(Device()), space()
    task = Problem(objectives=[Cost(made, "macs"), Ones()], optimised=["macs", "latency_ms"], bounds={})
    found = [
        Evaluation(index=i, architecture=a, status="ok", values={"macs": float(i), "latency_ms": 1.0 / (1 + i)})
        for i, a in enumerate(made.decode(e) for e in made.sample_encodings(4, np.random.default_rng(0)))
    ]
    final = FinalFront(
        problem=task, measure=lambda architectures, rounds: [Estimate(5.0, 4.0, 6.0)] * len(architectures), table=table
    )
    kept, dropped = final.settle(found)
    for evaluation in [*kept, *dropped]:
        predicted = table.estimate(evaluation.architecture)
        assert evaluation.values["predicted_latency_ms"] == pytest.approx(predicted.value)
        assert evaluation.intervals["predicted_latency_ms"] == pytest.approx((predicted.low, predicted.high))
        assert evaluation.values["latency_ms"] == 5.0
