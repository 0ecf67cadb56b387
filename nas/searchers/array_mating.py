"""Long runs of pymoo's genetic algorithms in less time: the same draws and the same generations, bit for bit.

Mating works on whole arrays of genes, not on an object for each child, and survival reads of every member only how far
it is outside the limits.
"""

import math
from typing import Any

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.core.mating import Mating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from nas.searchers.new_architectures import key


class ArrayMating(Mating):
    """Mating that keeps genes in arrays until a generation is full.

    Every operator draws what it draws in pymoo's own mating, in the same order, so that children are the same bit for
    bit. Children are whole numbers after the repair: equal rows are the duplicates.
    """

    def do(
        self,
        problem: Problem,
        pop: Population,
        n_offsprings: int,
        random_state: Any = None,
        n_max_iterations: int | None = None,
        **kwargs: Any,
    ) -> Population:
        """Return up to `n_offsprings` children that differ from the population and from each other."""
        genes = np.array([one.X for one in pop])
        known, children = {key(row) for row in genes}, list[np.ndarray]()
        for _ in range(n_max_iterations or self.n_max_iterations):
            matings = math.ceil((n_offsprings - len(children)) / self.crossover.n_offsprings)
            parents = self.selection.do(
                problem,
                pop,
                matings,
                n_parents=self.crossover.n_parents,
                to_pop=False,
                random_state=random_state,
                **kwargs,
            )
            made = self._made(problem, genes[parents].swapaxes(0, 1).astype(float), random_state)
            for row in self.repair._do(problem, made):
                if len(children) < n_offsprings and key(row) not in known:
                    known.add(key(row))
                    children.append(row)
            if len(children) == n_offsprings:
                break
        return Population.new("X", np.array(children)) if children else Population.create()

    def _made(self, problem: Problem, parents: np.ndarray, random_state: Any) -> np.ndarray:
        """Return children [C, D] of parents [2, M, D], crossed and mutated."""
        crossed = random_state.random(parents.shape[1]) < self.crossover.prob.get()
        children = parents.copy()
        if crossed.any():
            mixed = self.crossover._do(problem, parents, random_state=random_state)
            children[:, crossed] = mixed[:, crossed]
        genes = children.reshape(-1, parents.shape[-1])
        mutants = self.mutation._do(problem, genes, random_state=random_state)
        mutated = random_state.random(len(genes)) <= self.mutation.prob.get()
        return np.where(mutated[:, None], mutants, genes)


def tournament(pop: Population, pairs: np.ndarray, algorithm: GeneticAlgorithm, **kwargs: Any) -> np.ndarray:
    """Return the winners [T, 1] of pairs [T, 2], as the binary tournament of pymoo's NSGA-II.

    The smaller violation wins where there is one; else who dominates, and then who is less crowded. Chance decides the
    rest, in the order of the pairs.
    """
    outside = np.array([one.CV[0] for one in pop])[pairs]
    losses = np.array([one.F for one in pop])[pairs]
    room = np.array([one.data.get("crowding", 0.0) for one in pop])[pairs]
    better = (losses[:, 0] < losses[:, 1]).any(axis=1).astype(int) - (losses[:, 1] < losses[:, 0]).any(axis=1)
    spacious = (room[:, 0] > room[:, 1]).astype(int) - (room[:, 0] < room[:, 1])
    inside = (outside[:, 1] > outside[:, 0]).astype(int) - (outside[:, 1] < outside[:, 0])
    lead = np.where((outside > 0).any(axis=1), inside, np.where(better == 0, spacious, better))
    winners = np.where(lead > 0, pairs[:, 0], pairs[:, 1])
    for tie in np.flatnonzero(lead == 0):
        winners[tie] = algorithm.random_state.choice(pairs[tie])
    return winners[:, None]


class Survivors(RankAndCrowding):
    """Survival by rank and crowding; who is within the limits is read in one pass."""

    def do(self, problem: Problem, pop: Population, *args: Any, n_survive: int, **kwargs: Any) -> Population:
        outside = np.array([one.CV[0] for one in pop])
        inside, others = np.flatnonzero(outside <= 0), np.flatnonzero(outside > 0)
        count = min(n_survive, len(inside))
        chosen = self._do(problem, pop[inside], *args, n_survive=count, **kwargs) if count else Population()
        nearest = others[np.argsort(outside[others])][: n_survive - count]
        return Population.merge(chosen, pop[nearest])
