"""Architectures read off what a training has learned about choices.

Paper: DARTS, arXiv 1806.09055, section 2.4; TangleNAS, PMLR v256: the answer is the arg-max of the architecture
parameters.
Differs: the most probable architecture is the first proposal, and draws from the learned distribution follow, the most
probable ones first; published is the first alone. Where it breaks a limit, the changes of one decision each that cost
the least probability for what they save lead back, and none is proposed that breaks one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from nas.searchers.new_architectures import NewArchitectures
from nas.searchers.non_dominated import best_first
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Choice, Space
from search_spaces.errors import FieldError
from search_spaces.vectors import Scores, vectors_of_decisions
from supernets.learned import SMALLEST, Learned
from supernets.streams import SEARCHER


class Derived(Searcher):
    """The most probable architecture of a learned distribution, and draws from it.

    With costs among the objectives, draws that are cheaper come before others as probable as they are.

    Args:
        space: Space to search.
        objectives: Number of objectives; not needed here.
        population: Architectures of one `ask`.
        seed: Seed of the draws.
        violation: Exact violations [N] of encodings [N, D].
        learned: What the training of the supernet has learned; equal probabilities where nothing is known.
        exact: Index of an objective that is computed -> its losses [N] of encodings [N, D].
        draws: Draws of one `ask`, of which the best are proposed.
    """

    derives = True

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        population: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        learned: Learned | None = None,
        exact: Mapping[int, Callable[[np.ndarray], np.ndarray]] | None = None,
        draws: int = 100,
    ) -> None:
        if draws < 1:
            raise FieldError("draws", f"must be at least 1, got {draws}")
        self.space, self.population, self.draws = space, population, draws
        self.violation, self.exact = violation, dict(exact or {})
        self.generator = SEARCHER.generator(seed)
        self.vectors = vectors_of_decisions(space.decisions) if space.vectors is None else space.vectors
        self.scores = self._scores(learned)
        self.new = NewArchitectures(space, violation, self.generator)
        self._asked = False

    def _scores(self, learned: Learned | None) -> Scores:
        """Return the logarithms of the probabilities.

        Raises:
            FieldError: They are of other decisions.
        """
        if learned is None:
            return {v.name: np.full(len(v.choices), -np.log(len(v.choices))) for v in self.vectors.all}
        found = learned.probabilities()
        if {name: len(p) for name, p in found.items()} != {v.name: len(v.choices) for v in self.vectors.all}:
            raise FieldError(
                "searcher", f"must fit what was learned, and that is of other decisions than {self.space.name}"
            )
        return {name: np.log(np.maximum(p, SMALLEST)) for name, p in found.items()}

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        rows = np.stack([self._row(values) for values in self._drawn()])
        rows = self._ordered(self.space.canonical(rows[self.space.valid(rows)]))
        if not self._asked:
            rows = np.concatenate([self._most_probable(), rows])
        self._asked = True
        return [self.space.decode(row) for row in self.new.take(rows, self.population)]

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        """Note what is known; the distribution stays as it was learned."""
        self.new.tell(architectures)

    # ---- draws ------------------------------------------------------------------------------------------------------

    def _drawn(self) -> Iterator[dict[str, Choice]]:
        """Yield the decisions of draws: with Gumbel noise on its scores, the best choice is drawn by probability."""
        noisy = {
            name: score + self.generator.gumbel(size=(self.draws, len(score))) for name, score in self.scores.items()
        }
        for draw in range(self.draws):
            yield self.vectors.values({name: scores[draw] for name, scores in noisy.items()})

    def _row(self, values: Mapping[str, Choice]) -> np.ndarray:
        return np.array([d.choices.index(values[d.name]) for d in self.space.decisions], dtype=np.int64)

    def _score(self, rows: np.ndarray) -> np.ndarray:
        """Return the scores [N] of members [N, D]."""
        return np.array([self.vectors.score(self.scores, self.space.decode(row)) for row in rows])

    def _ordered(self, rows: np.ndarray) -> np.ndarray:
        """Return distinct members [N, D] with the best first: by limits, then by probability and exact costs."""
        if len(rows) == 0:
            return rows
        rows = np.unique(rows, axis=0)
        losses = np.stack([-self._score(rows), *(loss(rows) for loss in self.exact.values())], axis=1)
        return rows[best_first(losses, np.asarray(self.violation(rows), dtype=float))]

    # ---- the most probable within the limits ------------------------------------------------------------------------

    def _most_probable(self) -> np.ndarray:
        """Return the most probable architecture [1, D] that was found within the limits; none where none was."""
        row = self._row(self.vectors.values(self.scores))
        if not self.space.valid(row[None])[0]:
            return np.empty((0, len(row)), dtype=np.int64)
        row = self._within(self.space.canonical(row[None])[0])
        return row[None] if self.violation(row[None])[0] <= 0 else row[None][:0]

    def _within(self, row: np.ndarray) -> np.ndarray:
        """Return a member [D] moved within the limits by single changes, and from there to more probable ones."""
        score, broken = self._score(row[None])[0], float(self.violation(row[None])[0])
        while broken > 0:
            near = self._neighbours(row)
            violations = np.asarray(self.violation(near), dtype=float)
            better = violations < broken
            if not better.any():
                return row
            near, violations = near[better], violations[better]
            scores = self._score(near)
            price = (score - scores) / (broken - violations)
            best = int(np.argmin(price))
            row, score, broken = near[best], scores[best], float(violations[best])
        while True:
            near = self._neighbours(row)
            near = near[np.asarray(self.violation(near)) <= 0]
            scores = self._score(near)
            if len(scores) == 0 or scores.max() <= score:
                return row
            row, score = near[int(np.argmax(scores))], scores.max()

    def _neighbours(self, row: np.ndarray) -> np.ndarray:
        """Return the members [N, D] that differ in one decision."""
        changed = []
        for column, count in enumerate(self.space.choice_counts):
            for index in range(int(count)):
                if index != row[column]:
                    changed.append(np.where(np.arange(len(row)) == column, index, row))
        rows = np.array(changed, dtype=np.int64).reshape(-1, len(row))
        rows = self.space.canonical(rows[self.space.valid(rows)])
        return rows[(rows != row).any(axis=1)]
