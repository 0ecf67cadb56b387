"""The front of a search measured again, and the members that stay on it.

In the search, one measurement or prediction decides which candidates are on the front, and chance plays a part. So the
front and the candidates right behind it are measured again, all interleaved. Candidates whose interval crosses a limit
on latency are dropped; those that close are measured longer first. Candidates that then come to the front from behind
are measured, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nas.hardware import Measurement, MeasurementFailed
from nas.hardware.latency_table import LatencyTable
from nas.objectives import Bound, Latency
from nas.search.journal import Evaluation
from nas.search.pareto import contenders, pareto_front
from nas.search.problem import Problem
from search_spaces import Architecture, Space
from service.job.front_file import PREDICTED
from supernets.estimate import Estimate

Measured = Estimate | MeasurementFailed
Measure = Callable[[list[Architecture], int], Sequence[Measured]]
"""Architectures and how many rounds of repeats -> their latencies in ms, interleaved, or why they have none."""
_ROUNDS = 4
_ROUNDS_WHERE_CLOSE = 12
_MOST_LAYERS = 6  # candidates behind the front that are measured where those before them break the limit


@dataclass(frozen=True, kw_only=True)
class FinalFront:
    """The decision which candidates are on the front once latencies are measured.

    Args:
        problem: Problem that was searched.
        measure: Measures latencies.
        table: Table that predicted latencies in the search, if any.
        observer: Receives the progress.
        most: Candidates measured at first, always including the front; None for no limit.
        name: Name of the measured objective.
    """

    problem: Problem
    measure: Measure
    table: LatencyTable | None = None
    observer: Callable[[dict[str, Any]], None] = lambda event: None
    most: int | None = None
    name: str = Latency.name

    def settle(self, evaluations: Sequence[Evaluation]) -> tuple[list[Evaluation], list[Evaluation]]:
        """Return the front, and who was measured and is not on it, with the reason; all with measured latencies."""
        directions = self.problem.directions
        measured = self._measured(contenders(evaluations, directions, most=self.most), before=0)
        for _ in range(_MOST_LAYERS):
            known = {evaluation.architecture for evaluation in measured}
            rest = [evaluation for evaluation in evaluations if evaluation.architecture not in known]
            front = pareto_front([*measured, *rest], directions)
            behind = [evaluation for evaluation in front if evaluation.architecture not in known]
            if not behind or all(evaluation.status == "ok" for evaluation in measured):
                break
            measured += self._measured(behind, before=len(measured))
        kept = pareto_front(measured, directions)
        dropped = [
            replace(evaluation, reason=evaluation.reason or "dominated when measured again")
            for evaluation in measured
            if evaluation not in kept
        ]
        return kept, dropped

    def _measured(self, evaluations: Sequence[Evaluation], *, before: int) -> list[Evaluation]:
        """Return candidates with measured latencies, infeasible where a limit may be broken."""
        total = before + len(evaluations)
        self.observer({"event": "measure", "done": before, "total": total})
        latencies = self._latencies([evaluation.architecture for evaluation in evaluations])
        self.observer({"event": "measure", "done": total, "total": total})
        return [self._judged(self._with_latency(e, latency)) for e, latency in zip(evaluations, latencies)]

    def _latencies(self, architectures: list[Architecture]) -> list[Measured]:
        """Return the measured latencies; networks whose interval holds the limit are measured longer."""
        found = dict(zip(architectures, self.measure(architectures, _ROUNDS)))
        close = [a for a, latency in found.items() if self._broken(latency) and not self._surely_broken(latency)]
        if close:
            found |= dict(zip(close, self.measure(close, _ROUNDS_WHERE_CLOSE)))
        return [found[architecture] for architecture in architectures]

    @property
    def _bound(self) -> Bound:
        return self.problem.bounds.get(self.name, Bound())

    def _broken(self, latency: Measured) -> bool:
        return isinstance(latency, Estimate) and self._bound.violation_within(*_ends(latency)) > 0

    def _surely_broken(self, latency: Measured) -> bool:
        return isinstance(latency, Estimate) and min(self._bound.violation(end) for end in _ends(latency)) > 0

    def _judged(self, evaluation: Evaluation) -> Evaluation:
        """Return the status of a candidate: infeasible where a limit is broken, or lies within the interval of its
        latency.
        """
        if evaluation.status == "failed":
            return evaluation
        value = evaluation.values[self.name]
        low, high = evaluation.intervals.get(self.name, (value, value))
        if self._bound.violation_within(low, high) > 0:
            ends = f" [{low:.4g}, {high:.4g}]" if high > low else ""
            reason = f"{self.name} = {value:.4g}{ends} is outside its limit when measured again"
            return replace(evaluation, status="infeasible", reason=reason)
        return evaluation

    def _with_latency(self, evaluation: Evaluation, latency: Measured) -> Evaluation:
        if isinstance(latency, MeasurementFailed):
            return replace(evaluation, status="failed", reason=f"latency: {latency}")
        values, intervals = dict(evaluation.values), dict(evaluation.intervals)
        if self.table is not None:
            predicted = self.table.estimate(evaluation.architecture)
            before = f"{PREDICTED}{self.name}"
            values[before], intervals[before] = predicted.value, _ends(predicted)
        values[self.name] = latency.value
        if latency.low is not None and latency.high is not None:
            intervals[self.name] = (latency.low, latency.high)
        return replace(evaluation, values=values, intervals=intervals)


def _ends(estimate: Estimate) -> tuple[float, float]:
    low, high = estimate.low, estimate.high
    return (estimate.value if low is None else low, estimate.value if high is None else high)


def measured_again(latency: Latency, architectures: list[Architecture], rounds: int) -> list[Measured]:
    """Return latencies of architectures that take turns, each measured for a number of rounds, or why they have
    none.
    """
    measured = latency.measure_together(architectures, rounds=rounds)
    return [one.latency if isinstance(one, Measurement) else one for one in measured]


def described_front(
    problem: Problem, space: Space, kept: Sequence[Evaluation], dropped: Sequence[Evaluation]
) -> dict[str, Any]:
    """Return a front as `front.json` has it."""
    return {
        "objectives": problem.describe(),
        "space": space.describe(),
        "decisions": [decision.name for decision in space.decisions],
        "members": [_member(evaluation) for evaluation in kept],
        "dropped": [{**_member(evaluation), "reason": evaluation.reason} for evaluation in dropped],
    }


def _member(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "key": evaluation.architecture.key,
        "architecture": evaluation.architecture.to_json(),
        "values": evaluation.values,
        "intervals": evaluation.intervals,
    }
