"""The search: a searcher asks, objectives answer, a journal remembers.

A search is resumed by replay: a new searcher asks what the earlier one asked, and what the journal knows is not
evaluated again. So an interrupted search ends with the same journal as an uninterrupted one.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.objectives import Objective
from nas.search.dialogue import Dialogue, Proposal
from nas.search.evaluators import Candidate, Evaluators, Measured, OneAfterTheOther, measure
from nas.search.journal import Evaluation, Journal, Status
from nas.search.pareto import pareto_front
from nas.search.problem import Known, Problem
from nas.search.stopping import Stopping
from nas.searchers import Searcher
from search_spaces import Architecture, Space

_ASKS_WITHOUT_NEWS = 20  # asks in a row without a new candidate, after which a space counts as exhausted
_ROUNDING = 1e-6  # tolerance of sums of shares of evaluations


def search(
    searcher: Searcher,
    problem: Problem,
    journal: Journal,
    *,
    space: Space,
    evaluations: int,
    observer: Callable[[dict[str, Any]], None] = lambda event: None,
    evaluators: Evaluators | None = None,
    stopping: Stopping | None = None,
) -> list[Evaluation]:
    """Evaluate what the searcher asks for until the journal holds `evaluations` candidates, and return them all.

    Architectures that break a limit on an exact cost or a prediction are not evaluated and do not count; the observer
    is told how many were refused. A candidate that is evaluated on a part of the data counts as that part of one. The
    search ends early where the searcher finds nothing new any more, or `stopping` says so; the journal is then shorter.

    With `evaluators` of several slots, as many candidates are evaluated at the same time. The journal has them in the
    order in which they were finished, and what the searcher is asked and told follows from this order: the same journal
    is the same search, whatever evaluated it.
    """
    evaluators = evaluators or OneAfterTheOther()
    dialogue = Dialogue(searcher, problem, space, evaluators.slots)
    return _Search(dialogue, journal, evaluators, stopping or Stopping(), observer).to_the_end(evaluations)


class _Search:
    """The state of one search."""

    def __init__(
        self,
        dialogue: Dialogue,
        journal: Journal,
        evaluators: Evaluators,
        stopping: Stopping,
        observer: Callable[[dict[str, Any]], None],
    ) -> None:
        self.dialogue, self.problem, self.journal = dialogue, dialogue.problem, journal
        self.evaluators, self.stopping, self.observer = evaluators, stopping, observer
        self.directions = self.problem.directions
        self.done: dict[Candidate, Evaluation] = {}
        self.front: list[Evaluation] = []
        self.budget = self.spent = 0.0
        self.refused: set[Architecture] = set()
        self.expected_gain: float | None = None
        self._records = deque(journal.evaluations)
        self._early: dict[Candidate, Evaluation] = {}
        self._pending: dict[Candidate, _Pending] = {}
        self._is_over = False

    def to_the_end(self, evaluations: int) -> list[Evaluation]:
        self.budget = evaluations
        local = [o for o in self.problem.measured if o.name not in self.evaluators.names]
        while True:
            while len(self._pending) < self.evaluators.slots and (proposal := self._next()) is not None:
                self._pending[proposal.candidate] = _Pending(proposal.known)
                self.dialogue.begun()
            if not self._pending:
                return list(self.done.values())
            evaluation = self._remembered() or self._evaluated(local)
            self._finish(evaluation)

    # ---- what is next -----------------------------------------------------------------------------------------------

    def _next(self) -> Proposal | None:
        """Return the next candidate to evaluate; None where there is none now, or no more at all."""
        while not self._is_over:
            proposal = self.dialogue.next_proposal([c.architecture for c in self._pending], _ASKS_WITHOUT_NEWS)
            self._weigh_gain()
            if proposal is None or self._is_over:
                return None
            candidate = proposal.candidate
            if candidate in self._pending:
                self._pending[candidate].times += 1
            elif (known := self._known(proposal)) is not None:
                self._tell(known)
            elif self._cost() + candidate.fidelity > self.budget + _ROUNDING:
                self._is_over = True  # the budget ends here
            else:
                return proposal
        return None

    def _known(self, proposal: Proposal) -> Evaluation | None:
        """Return what needs no evaluation."""
        architecture, (values, intervals) = proposal.candidate.architecture, proposal.known
        if proposal.candidate in self.done:
            return self.done[proposal.candidate]
        if self.problem.violation(values, intervals) > 0:
            self.refused.add(architecture)
            return Evaluation(
                index=-1, architecture=architecture, status="infeasible", values=values, intervals=intervals
            )
        return None

    def _cost(self) -> float:
        """Return evaluations that were begun."""
        return self.spent + sum(candidate.fidelity for candidate in self._pending)

    def _weigh_gain(self) -> None:
        gain = self.dialogue.expected_gain
        if gain is not None and gain != self.expected_gain:
            self.stopping.promised(gain)
        self.expected_gain = gain
        if self.stopping.is_due:
            self._is_over = True

    # ---- what came out ----------------------------------------------------------------------------------------------

    def _remembered(self) -> Evaluation | None:
        """Return the evaluation that the journal has next, of those that are awaited."""
        for candidate in self._pending:
            if candidate in self._early:
                return self._early.pop(candidate)
        while self._records:
            record = self._records.popleft()
            self.stopping.remembered(record.seconds / self.evaluators.slots)
            if record.candidate in self._pending:
                return record
            self._early[record.candidate] = record
        return None

    def _evaluated(self, local: Sequence[Objective]) -> Evaluation:
        """Wait for any that is being evaluated, and write it down."""
        for candidate, pending in self._pending.items():
            if not pending.is_begun:
                self.evaluators.start(candidate)
                pending.is_begun = True
        candidate, measured = self.evaluators.finished()
        if measured.reason is None:
            measured = measured.extended(measure(local, candidate))
        evaluation = self._evaluation(candidate, measured)
        self.journal.append(evaluation)
        return evaluation

    def _finish(self, evaluation: Evaluation) -> None:
        pending = self._pending.pop(evaluation.candidate)
        self.done[evaluation.candidate] = evaluation
        self.spent += evaluation.fidelity
        if evaluation.status == "ok":
            self.front = pareto_front([*self.front, evaluation], self.directions)
        self._report()
        for _ in range(pending.times):
            self._tell(evaluation)

    def _tell(self, evaluation: Evaluation) -> None:
        if self.dialogue.answer(evaluation):
            self.journal.sync()

    def _report(self) -> None:
        spent = round(self.spent, 2)
        done = int(spent) if spent.is_integer() else spent
        found = {"front": len(self.front), "best_quality": self._best_quality(), "expected_gain": self.expected_gain}
        kept_from = {"refused": len(self.refused)} if self.refused else {}
        self.observer({"event": "search", "done": done, "total": self.budget, **found, **kept_from})

    def _best_quality(self) -> dict[str, Any] | None:
        """Return the best value on the front of the first objective that is a quality."""
        for objective in self.problem.ordered:
            values = [e.values[objective.name] for e in self.front if objective.name in e.values]
            if objective.role == "quality" and values:
                best = max(values) if objective.maximise else min(values)
                return {"name": objective.name, "value": best, "unit": objective.unit}
        return None

    def _evaluation(self, candidate: Candidate, measured: Measured) -> Evaluation:
        start = time.perf_counter()
        names = [objective.name for objective in self.problem.measured if objective.name in measured.values]
        known = self._pending[candidate].known
        values = known.values | {name: measured.values[name] for name in names}
        status: Status = "ok"
        reason = measured.reason
        broken = [name for name, bound in self.problem.bounds.items() if bound.violation(values.get(name, np.nan)) > 0]
        if reason is not None:
            status = "failed"
        elif broken:
            status, reason = "infeasible", f"{broken[0]} = {values[broken[0]]:g} is outside its limit"
        if status != "failed":
            values |= self._noted(candidate.architecture)
        seconds = measured.seconds + time.perf_counter() - start
        return Evaluation(
            index=len(self.journal.evaluations),
            architecture=candidate.architecture,
            fidelity=candidate.fidelity,
            status=status,
            values=values,
            intervals=known.intervals | {n: measured.intervals[n] for n in names if n in measured.intervals},
            reason=reason,
            seconds=round(seconds, 4),
        )

    def _noted(self, architecture: Architecture) -> dict[str, float]:
        found = {}
        for objective in self.problem.noted:
            try:
                found[objective.name] = objective.evaluate(architecture).value
            except ValueError:  # a proxy that has no score of this architecture says so in its own journal
                continue
        return found


@dataclass
class _Pending:
    """A candidate that is being evaluated: how often it was asked for meanwhile, and whether its evaluation has
    begun.
    """

    known: Known
    times: int = 1
    is_begun: bool = False
