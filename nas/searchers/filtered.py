"""A filter of proposals: a searcher makes many, and the best-scored are evaluated.

Paper: Zhang & Jia, GradSign, arXiv 2110.08616, section on GradSign-assisted NAS, with 10 candidates for one evaluation.
Around `RegularizedEvolution`, whose children are all of one parent until it is told, this is the paper's G-REA (with
`first=False`, as its first population is not filtered), and around `Random` its G-Random.
Differs: proposals that were evaluated before are left out, and doubled ones count once. The paper's G-REINFORCE scores
mutants of the action drawn and then credits the action itself, and its G-HB throws away what the model of BOHB proposes
for the best-scored of random architectures; neither is imitated. Filtering what a policy or a model itself proposes is
this filter around it, and G-HB's choice of architectures is this filter around `Random`.
"""

from collections.abc import Callable, Sequence

import numpy as np

from nas.searchers.searcher import Searcher
from search_spaces import Architecture

Score = Callable[[Sequence[Architecture]], np.ndarray]
"""Architectures, N -> scores [N], higher better; what is not finite is worst. Deterministic."""

Told = Callable[[Sequence[Architecture], np.ndarray, np.ndarray], None]
"""Learns from what was evaluated, as `Searcher.tell`."""


class Filtered(Searcher):
    """A searcher that proposes the best-scored proposals of another one.

    One `ask` asks the other searcher `candidates` times and keeps as many as one of its asks gave. Where scores are
    equal, the first proposals are kept, so a score that is the same for all changes almost nothing.

    Args:
        searcher: Searcher whose proposals are filtered.
        score: Says which are the best.
        candidates: Times the searcher is asked.
        first: Whether proposals made before anything was evaluated are filtered too.
        told: Called with everything that was evaluated, for a score that learns from it, such as `AutoScore.tell`.
    """

    def __init__(
        self,
        searcher: Searcher,
        score: Score,
        *,
        candidates: int = 10,
        first: bool = True,
        told: Told = lambda architectures, losses, violations: None,
    ) -> None:
        if candidates < 1:
            raise ValueError(f"candidates must be at least 1, got {candidates}")
        self.searcher, self.score, self.candidates, self.first = searcher, score, candidates, first
        self.told = told
        self._evaluated: set[Architecture] = set()

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        proposed = self.searcher.ask()
        if not self._evaluated and not self.first:
            return proposed
        pool = dict.fromkeys(proposed)
        for _ in range(self.candidates - 1):
            pool.update(dict.fromkeys(self.searcher.ask()))
        news = [architecture for architecture in pool if architecture not in self._evaluated]
        if not news:
            return proposed  # known candidates cost nothing, and telling them moves the searcher on
        return self._best(news, len(proposed) or 1)

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        self.searcher.tell(architectures, losses, violations)
        self.told(architectures, losses, violations)
        self._evaluated.update(architectures)

    def _best(self, architectures: Sequence[Architecture], n: int) -> list[Architecture]:
        if len(architectures) <= n:
            return list(architectures)
        scores = np.asarray(self.score(architectures), dtype=float)
        if scores.shape != (len(architectures),):
            raise ValueError(f"the score of {len(architectures)} architectures has shape {scores.shape}")
        ranked = np.argsort(np.where(np.isfinite(scores), -scores, np.inf), kind="stable")
        return [architectures[i] for i in ranked[:n]]
