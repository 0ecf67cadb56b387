"""The common part of the evolutionary searches of pymoo: integer genes, canonical offspring, ask and tell.

Genes are choices, so crossover takes each gene from either parent and mutation is polynomial with rounding; all of it
is pymoo's. Rounding takes most of that mutation away where choices are few: of the one gene that is moved in a child on
average it leaves 0.03 where genes have two choices, 0.2 where they have three, 0.4 where they have five.
`mutation="redrawn"` makes that gene another choice, drawn uniformly. Offspring are folded to canonical form, so that
duplicates are seen as such. Offspring outside the space are moved gene by gene until they are members, or drawn anew.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from nas.searchers.initial import initial_encodings
from nas.searchers.new_architectures import NewArchitectures
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space
from supernets.streams import GENERATIONS_NEW, GENERATIONS_REPAIR, SEARCHER

if TYPE_CHECKING:
    from pymoo.algorithms.base.genetic import GeneticAlgorithm
    from pymoo.core.problem import Problem

_OUTSIDE = 1e9  # violation of a candidate that failed and so has none


class Generations(Searcher, ABC):
    """A genetic algorithm of pymoo by ask and tell; a generation is what is told together.

    Args:
        space: Space to search.
        objectives: Number of objectives.
        population: Size of the population and of each generation.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        mutation: `polynomial`, rounded, or `redrawn`, which changes one gene of a child on average.
    """

    replaces_known: ClassVar[bool] = True
    """Whether an offspring that was evaluated before, or breaks an exact limit, gives way to a new one near it."""

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        population: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        mutation: Literal["polynomial", "redrawn"] = "polynomial",
    ) -> None:
        self.check(objectives, population)
        if mutation not in ("polynomial", "redrawn"):
            raise ValueError(f"mutation must be one of polynomial, redrawn; got {mutation!r}")
        self.mutation: Literal["polynomial", "redrawn"] = mutation
        self.space, self.population, self.violation = space, population, violation
        self.objectives, self.seed = objectives, seed
        self.generator = SEARCHER.generator(seed)
        self._new = NewArchitectures(space, violation, GENERATIONS_NEW.generator(seed))
        self._asked = False

    def check(self, objectives: int, population: int) -> None:
        """Refuse numbers that the algorithm cannot work with, with a ValueError; by default none."""
        return

    @cached_property
    def problem(self) -> "Problem":
        """The genes as pymoo sees them."""
        from nas.searchers.genes import problem_of

        return problem_of(self.space, self.objectives)

    @cached_property
    def algorithm(self) -> "GeneticAlgorithm":
        """The algorithm, made when it is first asked or told: checking a job needs no pymoo."""
        from nas.searchers.genes import operators

        repair = GENERATIONS_REPAIR.generator(self.seed)
        first = self._first(extremes=True)
        made = self._algorithm(
            self.objectives,
            pop_size=self.population,
            sampling=first,
            **operators(self.space, repair, self.mutation),
        )
        made.setup(self.problem, termination=("n_gen", 10**9), seed=self.seed, verbose=False)
        return made

    @abstractmethod
    def _algorithm(self, objectives: int, **parts: Any) -> "GeneticAlgorithm":
        """Return the algorithm, from its parts."""

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        if self._asked and not self.algorithm.is_initialized:  # pymoo would give the same first population again
            encodings = self._first(extremes=False)
        else:
            asked = self.algorithm.ask()
            encodings = np.empty((0, len(self.space.decisions)), int) if asked is None else asked.get("X")
        self._asked = True
        if self.replaces_known:
            encodings = self._new.take(np.asarray(encodings, dtype=np.int64), self.population)
        return [self.space.decode(encoding) for encoding in encodings]

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        from nas.searchers.genes import evaluated

        self._new.tell(architectures)
        # pymoo compares the losses of feasible candidates only, so a failed one is told as far outside the limits
        outside = np.where(np.isfinite(violations), violations, _OUTSIDE)
        finite = np.where(np.isfinite(losses), losses, 0.0)
        genes = np.stack([self.space.encode(architecture) for architecture in architectures])
        self.algorithm.tell(infills=evaluated(self.problem, genes, finite, outside))

    def _first(self, *, extremes: bool) -> np.ndarray:
        """Return encodings [N, D] of a first population, others at every call."""
        return initial_encodings(self.space, self.population, self.generator, self.violation, extremes=extremes)
