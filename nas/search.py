"""The search: a searcher asks, objectives answer, a journal remembers.

A search is resumed by replay: the searcher is made anew and asks what it asked before, and what the journal knows is
not evaluated again. So an interrupted search ends with the same journal as an uninterrupted one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from nas.archive import Direction, losses, pareto_front
from nas.journal import Evaluation, Journal, Status
from nas.objectives import Bound, Computed, Objective, describe
from nas.objectives.objective import Predicted
from nas.searchers import Searcher
from search_spaces import Architecture, Space

_ASKS_WITHOUT_NEWS = 20  # asks in a row that bring no new candidate before a space counts as exhausted


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Settings of one search.

    Args:
        searcher: Catalogue name (`nas list searcher`) or `package.module:object`.
        searcher_options: Further keyword arguments of the searcher, such as ``{parent_share: 0.5}``.
        evaluations: Distinct architectures to evaluate.
        population: Architectures of one generation.
        objectives: What to trade off, by catalogue names. Accuracy is read on the validation split only.
        constraints: Hard limits, such as ``{macs: "<= 5e6", accuracy: ">= 60"}``.
        calibration_images: Training images that set the batch norm of each subnet.
        per_leaf: For a supernet that was split: `true` searches every part by itself, in turn; `halving` gives up the
            worse half of the parts again and again; `false` searches all parts as one space.
    """

    searcher: str = "nsga2"
    searcher_options: dict[str, Any] = field(default_factory=dict)
    evaluations: int = 200
    population: int = 24
    objectives: list[str] = field(default_factory=lambda: ["accuracy", "latency_ms"])
    constraints: dict[str, str] = field(default_factory=dict)
    calibration_images: int = 2000
    per_leaf: bool | Literal["halving"] = False

    def __post_init__(self) -> None:
        for name, least in (("evaluations", 1), ("population", 2), ("calibration_images", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.per_leaf not in (False, True, "halving"):
            raise ValueError(f"per_leaf must be false, true or halving, got {self.per_leaf}")
        if len(self.objectives) < 1 or len(set(self.objectives)) != len(self.objectives):
            raise ValueError(f"objectives must be one or more distinct names, got {self.objectives}")


@dataclass(frozen=True)
class Problem:
    """What is searched for.

    Args:
        exact: Exactly computable costs; all are recorded, and limits on them are kept without evaluating anything.
        predicted: The same for predictions; a limit is kept by the far end of their intervals.
        measured: Objectives that take time, in the order they are evaluated.
        noted: What is recorded of a candidate where it has it, without deciding anything, such as proxies.
        optimised: Names of the objectives that are traded off.
        bounds: Hard limits by objective name.
    """

    exact: Sequence[Computed]
    measured: Sequence[Objective]
    optimised: Sequence[str]
    bounds: Mapping[str, Bound]
    noted: Sequence[Objective] = ()
    predicted: Sequence[Predicted] = ()

    @property
    def objectives(self) -> list[Objective]:
        """Everything that is recorded of a candidate."""
        return [*self.measured, *self.predicted, *self.exact]

    @property
    def directions(self) -> list[Direction]:
        """Name and direction of the objectives that are traded off."""
        maximise = {objective.name: objective.maximise for objective in self.objectives}
        return [(name, maximise[name]) for name in self.optimised]

    @property
    def computed(self) -> dict[int, Callable[[np.ndarray], np.ndarray]]:
        """Index of an optimised objective that is exact or predicted -> losses [N] of encodings [N, D]."""
        exact = {cost.name: cost for cost in (*self.exact, *self.predicted)}
        return {i: exact[name].evaluate_encodings for i, name in enumerate(self.optimised) if name in exact}

    @property
    def loss_limits(self) -> dict[int, float]:
        """Index of an optimised objective that is measured -> largest loss its bound allows; none at all where these
        do not say everything that the bounds on measured objectives do."""
        computed = {objective.name for objective in (*self.exact, *self.predicted)}
        measured = {name: bound for name, bound in self.bounds.items() if name not in computed}
        limits = {}
        for i, (name, maximise) in enumerate(self.directions):
            bound = measured.pop(name, Bound())
            limit, other = (bound.low, bound.high) if maximise else (bound.high, bound.low)
            if other is not None:
                return {}
            if limit is not None:
                limits[i] = -limit if maximise else limit
        return {} if measured else limits

    def describe(self) -> list[dict[str, Any]]:
        """Every objective, for journals and reports; `optimised` ones first, in their order."""
        described = [describe(o, self.bounds.get(o.name)) for o in self.objectives]
        rank = {name: i for i, name in enumerate(self.optimised)}
        marked = [{**d, "optimised": d["name"] in rank} for d in described]
        return sorted(marked, key=lambda d: rank.get(d["name"], len(rank)))

    def known(self, encodings: np.ndarray) -> list["Known"]:
        """What is known of encodings [N, D] without evaluating them."""
        exact = {cost.name: cost.evaluate_encodings(encodings) for cost in self.exact}
        predicted = {p.name: p.estimate_encodings(encodings) for p in self.predicted}
        return [
            Known(
                {name: values[i].item() for name, values in exact.items()}
                | {name: values[i].item() for name, (values, _, _) in predicted.items()},
                {name: (low[i].item(), high[i].item()) for name, (_, low, high) in predicted.items()},
            )
            for i in range(len(encodings))
        ]

    def exact_violation(self, encodings: np.ndarray) -> np.ndarray:
        """How far encodings [N, D] break limits on exact costs and, by the ends of intervals, on predictions [N]."""
        total = np.zeros(len(encodings))
        for objective in self.predicted:
            if objective.name in self.bounds:
                bound = self.bounds[objective.name]
                _, low, high = objective.estimate_encodings(encodings)
                total += [bound.violation_within(*map(float, ends)) for ends in zip(low, high)]
        for cost in self.exact:
            if cost.name in self.bounds:
                bound = self.bounds[cost.name]
                total += [bound.violation(float(value)) for value in cost.evaluate_encodings(encodings)]
        return total

    def violation(self, values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]) -> float:
        """How far the limited values among these break their limits; predicted ones by the ends of their intervals."""
        predicted = {objective.name for objective in self.predicted}
        return sum(
            bound.violation_within(*intervals[name]) if name in predicted else bound.violation(values[name])
            for name, bound in self.bounds.items()
            if name in values
        )


class Known(NamedTuple):
    """What is known of an architecture without evaluating it: values, and intervals of those that are predicted."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def search(
    searcher: Searcher,
    problem: Problem,
    journal: Journal,
    *,
    space: Space,
    evaluations: int,
    observer: Callable[[dict[str, Any]], None] = lambda event: None,
) -> list[Evaluation]:
    """Evaluate what the searcher asks for until the journal holds `evaluations` candidates; returns them all.

    Architectures that break a limit on an exact cost or a prediction are not evaluated and do not count. The search
    ends early where the searcher finds nothing new any more; the journal is then shorter.
    """
    run = _Search(problem, journal, evaluations, observer)
    quiet = 0
    while len(run.done) < evaluations and quiet < _ASKS_WITHOUT_NEWS:
        before = len(run.done)
        asked = searcher.ask()
        if not asked:
            break
        answers = []
        encodings = np.stack([space.encode(architecture) for architecture in asked])
        for architecture, already in zip(asked, problem.known(encodings)):
            answers.append(run.answer(architecture, already))
            if answers[-1] is None:
                return list(run.done.values())  # the budget ended inside this generation
        quiet = 0 if len(run.done) > before else quiet + 1
        known = [answer for answer in answers if answer is not None]
        searcher.tell(asked, losses(known, problem.directions), np.array([run.violation(e) for e in known]))
        journal.sync()
    return list(run.done.values())


class _Search:
    """What is known so far in one search."""

    def __init__(
        self, problem: Problem, journal: Journal, budget: int, observer: Callable[[dict[str, Any]], None]
    ) -> None:
        self.problem, self.journal, self.budget, self.observer = problem, journal, budget, observer
        self.directions = problem.directions
        self.remembered = {evaluation.architecture: evaluation for evaluation in journal.evaluations}
        self.done: dict[Architecture, Evaluation] = {}
        self.front: list[Evaluation] = []

    def answer(self, architecture: Architecture, known: Known) -> Evaluation | None:
        """The evaluation of a candidate, old or new; None where a new one would exceed the budget."""
        if architecture in self.done:
            return self.done[architecture]
        if self.problem.violation(known.values, known.intervals) > 0:
            values, intervals = known
            return Evaluation(
                index=-1, architecture=architecture, status="infeasible", values=values, intervals=intervals
            )
        if len(self.done) >= self.budget:
            return None
        evaluation = self.remembered.get(architecture)
        if evaluation is None:
            evaluation = self._evaluate(architecture, known)
            self.journal.append(evaluation)
        self.done[architecture] = evaluation
        if evaluation.status == "ok":
            self.front = pareto_front([*self.front, evaluation], self.directions)
        best = max((e.values["accuracy"] for e in self.front if "accuracy" in e.values), default=None)
        event = {"event": "search", "done": len(self.done), "total": self.budget}
        self.observer({**event, "front": len(self.front), "best_accuracy": best})
        return evaluation

    def violation(self, evaluation: Evaluation) -> float:
        if evaluation.status == "failed":
            return np.inf
        return self.problem.violation(evaluation.values, evaluation.intervals)

    def _evaluate(self, architecture: Architecture, known: Known) -> Evaluation:
        start = time.perf_counter()
        values, intervals = dict(known.values), dict(known.intervals)
        status: Status = "ok"
        reason = None
        try:
            for objective in self.problem.measured:
                estimate = objective.evaluate(architecture)
                if not np.isfinite(estimate.value):
                    raise ValueError(f"{objective.name} is {estimate.value}")
                values[objective.name] = estimate.value
                if estimate.low is not None and estimate.high is not None:
                    intervals[objective.name] = (estimate.low, estimate.high)
        except Exception as error:  # whatever a user's objective raises fails this candidate, not the search
            status, reason = "failed", f"{type(error).__name__}: {error}"
        broken = [name for name, bound in self.problem.bounds.items() if bound.violation(values.get(name, np.nan)) > 0]
        if status == "ok" and broken:
            status, reason = "infeasible", f"{broken[0]} = {values[broken[0]]:g} is outside its limit"
        if status != "failed":
            values |= self._noted(architecture)
        return Evaluation(
            index=len(self.journal.evaluations),
            architecture=architecture,
            status=status,
            values=values,
            intervals=intervals,
            reason=reason,
            seconds=round(time.perf_counter() - start, 4),
        )

    def _noted(self, architecture: Architecture) -> dict[str, float]:
        found = {}
        for objective in self.problem.noted:
            try:
                found[objective.name] = objective.evaluate(architecture).value
            except ValueError:  # a proxy that has no score of this architecture says so in its own journal
                continue
        return found
