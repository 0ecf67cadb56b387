"""Faster mating and survival against pymoo's own: the same generations, bit for bit."""

from typing import Any

import numpy as np
import pytest
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.unsga3 import UNSGA3
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.ref_dirs import get_reference_directions

from nas.searchers.array_mating import ArrayMating, Survivors, tournament
from nas.searchers.genes import CanonicalRepair
from search_spaces.mobilenet_v3 import small_mobilenet_v3

SPACE = small_mobilenet_v3()
COUNTS = SPACE.choice_counts


class Counted(Problem):
    """Sums of genes with few values, so that ties are common; some rows are outside the limits."""

    def __init__(self, objectives: int, limit: float) -> None:
        super().__init__(n_var=len(COUNTS), n_obj=objectives, n_ieq_constr=1, xl=0, xu=COUNTS - 1)
        self.limit = limit

    def _evaluate(self, x: np.ndarray, out: dict[str, np.ndarray], *args: Any, **kwargs: Any) -> None:
        out["F"] = np.stack([(x * (k + 1) % 3).sum(1) // 2 for k in range(self.n_obj)], axis=1).astype(float)
        out["G"] = x[:, :2].sum(axis=1, keepdims=True) - self.limit


def generations(objectives: int, limit: float, *, fast: bool) -> list[np.ndarray]:
    """Return the genes of all members after each of 25 generations."""
    repair = CanonicalRepair(SPACE, np.random.default_rng(3))
    parts = {
        "pop_size": 12,
        "sampling": SPACE.sample_encodings(12, np.random.default_rng(1)),
        "crossover": SBX(prob=0.9, eta=15, vtype=float),
        "mutation": PM(prob=1.0, prob_var=0.02, eta=20, vtype=float),
        "repair": repair,
        "eliminate_duplicates": True,
    }
    algorithm: GeneticAlgorithm = GA(**parts)
    if objectives == 2:
        faster = {"selection": TournamentSelection(func_comp=tournament), "survival": Survivors()}
        algorithm = NSGA2(**parts, **(faster if fast else {}))
    elif objectives == 3:
        algorithm = UNSGA3(get_reference_directions("das-dennis", 3, n_partitions=3), **parts)
    mating = algorithm.mating
    mating.n_max_iterations = 3
    if fast:
        algorithm.mating = ArrayMating(
            mating.selection, mating.crossover, mating.mutation, repair=repair, n_max_iterations=3
        )
    algorithm.setup(Counted(objectives, limit), termination=("n_gen", 25), seed=5, verbose=False)
    seen = []
    while algorithm.has_next():
        algorithm.next()
        seen.append(algorithm.pop.get("X").astype(np.int64))
    return seen


@pytest.mark.parametrize("limit", [0.0, 1.0, 99.0], ids=["most are outside", "some are outside", "all are inside"])
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_generations_are_those_of_pymoo_bit_for_bit(objectives, limit):
    ours = generations(objectives, limit, fast=True)
    theirs = generations(objectives, limit, fast=False)
    assert len(ours) == len(theirs) > 5
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs))
    assert not np.array_equal(ours[0], ours[-1])
