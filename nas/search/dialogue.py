"""What a searcher asks for, one candidate at a time, and what came out, told as soon as it may be."""

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from nas.search.evaluators import FULL, Candidate, InParts
from nas.search.journal import Evaluation
from nas.search.pareto import losses
from nas.search.problem import Known, Problem
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space


@runtime_checkable
class AsksBeside(Protocol):
    """A searcher that reckons with candidates that are being evaluated. It is told of each as soon as it is known."""

    def ask_beside(self, pending: Sequence[Architecture]) -> list[Architecture]:
        """What to evaluate next while others are being evaluated; they will be told later."""
        ...

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        """As `Searcher.tell`, of any that were asked for since it was made."""
        ...


class Proposal(NamedTuple):
    """A candidate and what is known of it without evaluating it."""

    candidate: Candidate
    known: Known


class Turns:
    """The asks and tells of one search.

    A searcher that reckons with pending candidates is asked for few at a time and told of each. Any other is told of as
    many as it asked for at once, in the order in which they were finished; where it is needed before that, it is asked
    again and answers from what it knows. So what it is asked and told follows from that order alone.

    Args:
        searcher: Whose turns.
        problem: What for.
        space: Where it searches.
        slots: Candidates that are evaluated at the same time.
    """

    def __init__(self, searcher: Searcher, problem: Problem, space: Space, slots: int) -> None:
        self.searcher, self.problem, self.space = searcher, problem, space
        self.beside = searcher if slots > 1 and isinstance(searcher, AsksBeside) else None
        self.in_parts = any(isinstance(objective, InParts) for objective in problem.measured)
        self.quiet = 0
        self._queue: deque[Proposal] = deque()
        self._sizes: deque[int] = deque()
        self._answered: list[Evaluation] = []

    @property
    def expected_gain(self) -> float | None:
        """By what share one more candidate is expected to grow the hypervolume; None where the searcher cannot say."""
        gain: Any = getattr(self.searcher, "expected_gain", None)
        return None if gain is None else float(gain)

    def next(self, pending: Sequence[Architecture], patience: int) -> Proposal | None:
        """The next proposal; None where `patience` asks in a row brought nothing that was begun, or nothing at all."""
        while not self._queue:
            if self.quiet >= patience or not self._ask(pending):
                return None
        return self._queue.popleft()

    def answer(self, evaluation: Evaluation) -> bool:
        """What came out for a candidate; returns whether the searcher was told of it or of others."""
        self._answered.append(evaluation)
        told = False
        while self._sizes and len(self._answered) >= self._sizes[0]:
            size = self._sizes.popleft()
            known, self._answered = self._answered[:size], self._answered[size:]
            found = losses(known, self.problem.directions)
            violations = np.array([self._violation(evaluation) for evaluation in known])
            self.searcher.tell([evaluation.architecture for evaluation in known], found, violations)
            told = True
        return told

    def _ask(self, pending: Sequence[Architecture]) -> bool:
        self.quiet += 1
        asked = self.searcher.ask() if self.beside is None else self.beside.ask_beside(pending)
        if not asked:
            return False
        fidelity = float(getattr(self.searcher, "fidelity", FULL)) if self.in_parts else FULL
        encodings = np.stack([self.space.encode(architecture) for architecture in asked])
        for architecture, known in zip(asked, self.problem.known(encodings)):
            self._queue.append(Proposal(Candidate(architecture, fidelity), known))
        self._sizes.extend([len(asked)] if self.beside is None else [1] * len(asked))
        return True

    def _violation(self, evaluation: Evaluation) -> float:
        if evaluation.status == "failed":
            return np.inf
        return self.problem.violation(evaluation.values, evaluation.intervals)
