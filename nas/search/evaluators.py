"""Evaluation of candidates by objectives: here or elsewhere, one or several at the same time."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from nas.objectives.objective import Objective
from search_spaces import Architecture
from search_spaces.errors import WrongResult
from supernets.estimate import checked

FULL = 1.0


class Candidate(NamedTuple):
    """An architecture to evaluate, and the share of the data to evaluate it on; 1 is all of it."""

    architecture: Architecture
    fidelity: float = FULL


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The results of the objectives for one candidate.

    Attributes:
        values: Objective name -> value.
        intervals: Objective name -> 95% interval.
        reason: Why there are no further values, where an objective failed.
        seconds: Time that it took.
    """

    values: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    reason: str | None = None
    seconds: float = 0.0

    def extended(self, further: "Measured") -> "Measured":
        """Return this with what further objectives said."""
        return Measured(
            values=self.values | further.values,
            intervals=self.intervals | further.intervals,
            reason=self.reason or further.reason,
            seconds=self.seconds + further.seconds,
        )


class Evaluators(Protocol):
    """Evaluate several candidates at the same time.

    Call order: `start` for up to `slots` candidates, then `finished` for one, and so on.

    Attributes:
        slots: Candidates at the same time.
        names: Objectives that they evaluate; the others are evaluated by the search itself, one after the other.
    """

    slots: int
    names: Collection[str]

    def start(self, candidate: Candidate) -> None:
        """Begin with a candidate; returns at once."""
        ...

    def finished(self) -> tuple[Candidate, Measured]:
        """Wait for any of those that were started."""
        ...


class OneAfterTheOther:
    """An evaluator with one slot that evaluates nothing elsewhere: the search does everything itself."""

    slots = 1
    names: Collection[str] = ()

    def __init__(self) -> None:
        self._started: list[Candidate] = []

    def start(self, candidate: Candidate) -> None:
        self._started.append(candidate)

    def finished(self) -> tuple[Candidate, Measured]:
        return self._started.pop(0), Measured()


def measure(objectives: Sequence[Objective], candidate: Candidate) -> Measured:
    """Ask objectives one after the other, until one fails: whatever it raises fails this candidate and nothing else."""
    start = time.perf_counter()
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    reason = None
    try:
        for objective in objectives:
            estimate = checked(objective.evaluate(candidate.architecture, candidate.fidelity), objective)
            if not np.isfinite(estimate.value):
                raise ValueError(f"{objective.name} is {estimate.value}")
            values[objective.name] = estimate.value
            if estimate.low is not None and estimate.high is not None:
                intervals[objective.name] = (estimate.low, estimate.high)
    except WrongResult:
        raise  # no fault of the candidate: it would be the same for all
    except Exception as error:  # objectives of users can raise anything
        reason = f"{type(error).__name__}: {error}"
    return Measured(values=values, intervals=intervals, reason=reason, seconds=time.perf_counter() - start)
