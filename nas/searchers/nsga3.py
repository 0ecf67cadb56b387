"""NSGA-III on the integer encoding.

Paper: Deb and Jain, An evolutionary many-objective optimization algorithm using reference-point-based nondominated
sorting approach, part I, IEEE TEC 18(4), 2014; constraints as in part II.
Differs: the operators are those of all generations here, see `nas.searchers.generations`. There are as many reference
directions as a population of this size has places for, at equal steps (Das and Dennis, 1998); the population is not
rounded up to a multiple of four. An offspring that was evaluated before gives way to a new one near it.
"""

from math import comb
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga3 import NSGA3 as PymooNSGA3
from pymoo.util.ref_dirs import get_reference_directions

from nas.searchers.generations import Generations


def direction_steps(objectives: int, most: int) -> int:
    """Return the steps of the finest simplex lattice that has up to `most` points, at least 1."""
    if objectives == 1:
        return 1
    steps = 1
    while comb(steps + objectives, objectives - 1) <= most:
        steps += 1
    return steps


def reference_directions(objectives: int, population: int) -> np.ndarray:
    """Return directions [N, K] at equal steps, up to as many as the population has members, at least K.

    Args:
        objectives: K.
        population: Its members, at least K.
    """
    return get_reference_directions("das-dennis", objectives, n_partitions=direction_steps(objectives, population))


class NSGA3(Generations):
    """NSGA-III by pymoo's ask and tell; a generation is what is told together."""

    def check(self, objectives: int, population: int) -> None:
        if population < objectives:
            raise ValueError(f"population must be at least the number of objectives, {objectives}; got {population}")

    def _algorithm(self, objectives: int, **parts: Any) -> PymooNSGA3:
        return PymooNSGA3(reference_directions(objectives, parts["pop_size"]), **parts)
