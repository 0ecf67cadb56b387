"""The candidates that a searcher asks for, one at a time, and their results, told as soon as possible."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nas.search.evaluators import FULL, Candidate
from nas.search.journal import Evaluation
from nas.search.pareto import losses
from nas.search.problem import Known, Problem
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space


class Proposal(NamedTuple):
    """A candidate, with what is known about it without evaluating it."""

    candidate: Candidate
    known: Known


class Dialogue:
    """The asks and tells of one search.

    Where several candidates are evaluated at the same time, a searcher that considers pending ones is told of each
    result. Any other searcher is told of as many results as it asked for at once, in the order in which they were
    finished. If it is needed before that, it is asked again and answers from what it knows. So this order alone decides
    what it is asked and told.

    Args:
        searcher: Searcher that is asked and told.
        problem: Problem that is searched.
        space: Space that it searches.
        slots: Candidates that are evaluated at the same time.
    """

    def __init__(self, searcher: Searcher, problem: Problem, space: Space, slots: int) -> None:
        self.searcher, self.problem, self.space = searcher, problem, space
        self._tells_each = slots > 1 and searcher.considers_pending
        self._uses_fidelity = any(objective.uses_fidelity for objective in problem.measured)
        self._asks_without_news = 0
        self._queue: deque[Proposal] = deque()
        self._sizes: deque[int] = deque()
        self._answered: list[Evaluation] = []

    @property
    def expected_gain(self) -> float | None:
        """By what share one more candidate is expected to grow the hypervolume; None where the searcher cannot say."""
        gain = self.searcher.expected_gain
        return None if gain is None else float(gain)

    def next_proposal(self, pending: Sequence[Architecture], most_asks: int) -> Proposal | None:
        """Return the next proposal.

        It is None where `most_asks` asks in a row brought no candidate to evaluate, or one ask brought nothing at all.
        """
        while not self._queue:
            if self._asks_without_news >= most_asks or not self._ask(pending):
                return None
        return self._queue.popleft()

    def begun(self) -> None:
        """Note that the evaluation of a proposal was begun."""
        self._asks_without_news = 0

    def answer(self, evaluation: Evaluation) -> bool:
        """Note what came out for a candidate; returns whether the searcher was told of it or of others."""
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
        self._asks_without_news += 1
        asked = self.searcher.ask(pending) if self._tells_each else self.searcher.ask()
        if not asked:
            return False
        fidelity = float(self.searcher.fidelity) if self._uses_fidelity else FULL
        encodings = np.stack([self.space.encode(architecture) for architecture in asked])
        for architecture, known in zip(asked, self.problem.known(encodings)):
            self._queue.append(Proposal(Candidate(architecture, fidelity), known))
        self._sizes.extend([1] * len(asked) if self._tells_each else [len(asked)])
        return True

    def _violation(self, evaluation: Evaluation) -> float:
        if evaluation.status == "failed":
            return np.inf
        return self.problem.violation(evaluation.values, evaluation.intervals)
