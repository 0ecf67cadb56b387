"""Choices as integer genes of pymoo: the problem, its operators, and what came out."""

from typing import Any, Literal

import numpy as np
from pymoo.core.evaluator import Evaluator
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.problems.static import StaticProblem

from nas.searchers.new_architectures import members_near
from search_spaces import Space

MutationName = Literal["polynomial", "redrawn"]


class CanonicalRepair(RoundingRepair):
    """Repair that rounds genes, makes members of what is not one, and folds to canonical form."""

    def __init__(self, space: Space, generator: np.random.Generator) -> None:
        super().__init__()
        self.space, self.generator = space, generator

    def _do(self, problem: Problem, X: np.ndarray, **kwargs: object) -> np.ndarray:
        rounded = np.asarray(super()._do(problem, X, **kwargs), dtype=np.int64)
        encodings = np.clip(rounded, 0, self.space.choice_counts - 1)
        return self.space.canonical(members_near(self.space, encodings, self.generator))


def problem_of(space: Space, objectives: int) -> Problem:
    """Return a problem whose genes are the choices of a space, with one constraint."""
    return Problem(
        n_var=len(space.decisions), n_obj=objectives, n_ieq_constr=1, xl=0, xu=space.choice_counts - 1, vtype=int
    )


def operators(space: Space, generator: np.random.Generator, mutation: MutationName = "polynomial") -> dict[str, Any]:
    """Return crossover, mutation, repair and the removal of duplicates, as arguments of an algorithm."""
    rate = 1.0 / len(space.decisions)
    polynomial = PM(prob=1.0, prob_var=rate, eta=3.0, vtype=float)
    return {
        "crossover": UX(prob=0.9),
        "mutation": polynomial if mutation == "polynomial" else Redrawn(space.choice_counts, rate),
        "repair": CanonicalRepair(space, generator),
        "eliminate_duplicates": True,
    }


def evaluated(problem: Problem, genes: np.ndarray, losses: np.ndarray, violations: np.ndarray) -> Population:
    """Return genes [N, D] as a population that has losses [N, K] and violations [N]."""
    told = Population.new("X", genes)
    Evaluator().eval(StaticProblem(problem, F=losses, G=violations[:, None]), told)
    return told


class Redrawn(Mutation):
    """A share of the genes becomes another choice, drawn uniformly.

    Args:
        choices: Number of choices of every gene [D].
        rate: Share of the genes that changes, among those that have another choice.
    """

    def __init__(self, choices: np.ndarray, rate: float) -> None:
        super().__init__(prob=1.0)
        self.choices, self.rate = choices, rate

    def _do(self, problem: Problem, X: np.ndarray, *args: Any, random_state: Any = None, **kwargs: Any) -> np.ndarray:
        genes = np.clip(np.round(X).astype(np.int64), 0, self.choices - 1)  # crossover leaves what is between choices
        steps = random_state.integers(1, np.maximum(self.choices, 2), size=genes.shape)
        changed = random_state.random(genes.shape) < self.rate
        return np.where(changed, (genes + steps) % self.choices, genes).astype(float)
