"""What the evolutionary searches of pymoo have in common: integer genes, canonical offspring, ask and tell.

Genes are choices, so crossover takes each gene from either parent and mutation is polynomial with rounding; all of it
is pymoo's. Offspring are folded to canonical form, so that duplicates are seen as such. Offspring that are no member of
the space are moved gene by gene until they are, or drawn anew.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.problems.static import StaticProblem

from nas.searchers.initial import initial_encodings
from nas.searchers.new_architectures import NewArchitectures, members_near
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space
from supernets.streams import GENERATIONS_NEW, GENERATIONS_REPAIR, SEARCHER

_OUTSIDE = 1e9  # violation of a candidate that has none because it failed


class CanonicalRepair(RoundingRepair):
    """Round genes, make members of what is none, and fold to canonical form."""

    def __init__(self, space: Space, generator: np.random.Generator) -> None:
        super().__init__()
        self.space, self.generator = space, generator

    def _do(self, problem: Problem, X: np.ndarray, **kwargs: object) -> np.ndarray:
        rounded = np.asarray(super()._do(problem, X, **kwargs), dtype=np.int64)
        encodings = np.clip(rounded, 0, self.space.choice_counts - 1)
        return self.space.canonical(members_near(self.space, encodings, self.generator))


class Generations(Searcher, ABC):
    """A genetic algorithm of pymoo by ask and tell; a generation is what is told together.

    Args:
        space: Where to search.
        objectives: Number of objectives.
        population: Size of the population and of each generation.
        seed: Of the whole search.
        violation: Exact violations [N] of encodings [N, D].
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
    ) -> None:
        self.space, self.population, self.violation = space, population, violation
        self.generator = SEARCHER.generator(seed)
        self._new = NewArchitectures(space, violation, GENERATIONS_NEW.generator(seed))
        self._asked = False
        self.problem = Problem(
            n_var=len(space.decisions), n_obj=objectives, n_ieq_constr=1, xl=0, xu=space.choice_counts - 1, vtype=int
        )
        self.algorithm = self._algorithm(
            objectives,
            pop_size=population,
            sampling=self._first(extremes=True),
            crossover=UX(prob=0.9),
            mutation=PM(prob=1.0, prob_var=1.0 / len(space.decisions), eta=3.0, vtype=float),
            repair=CanonicalRepair(space, GENERATIONS_REPAIR.generator(seed)),
            eliminate_duplicates=True,
        )
        self.algorithm.setup(self.problem, termination=("n_gen", 10**9), seed=seed, verbose=False)

    @abstractmethod
    def _algorithm(self, objectives: int, **parts: Any) -> GeneticAlgorithm:
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
        self._new.tell(architectures)
        # pymoo compares the losses of feasible candidates only, so what has none is told as far outside the limits
        outside = np.where(np.isfinite(violations), violations, _OUTSIDE)
        finite = np.where(np.isfinite(losses), losses, 0.0)
        told = Population.new("X", np.stack([self.space.encode(architecture) for architecture in architectures]))
        Evaluator().eval(StaticProblem(self.problem, F=finite, G=outside[:, None]), told)
        self.algorithm.tell(infills=told)

    def _first(self, *, extremes: bool) -> np.ndarray:
        """Return encodings [N, D] of a first population, others at every call."""
        return initial_encodings(self.space, self.population, self.generator, self.violation, extremes=extremes)
