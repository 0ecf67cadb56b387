"""AGE-MOEA on the integer encoding: survival that follows the shape of the front.

Paper: Panichella, An adaptive evolutionary algorithm based on non-euclidean geometry for many-objective optimization,
GECCO 2019.
Differs: the operators are those of all generations here, see `nas.searchers.generations`; survival is computed here, as
pymoo's needs a compiler. Later fronts are moved to the ideal point before they are scaled, as the first one is, and the
last front that has places left is scored too, so that its survivors are not chosen by chance. The exponent is kept in
0.1 to 20. An offspring that was evaluated before gives way to a new one near it.
"""

from typing import Any

import moocore
import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.nsga2 import binary_tournament
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.survival import Survival
from pymoo.operators.selection.tournament import TournamentSelection

from nas.searchers.generations import Generations

_TINY = 1e-8


class AgeMoea(Generations):
    """AGE-MOEA; a generation is what is told together."""

    def _algorithm(self, objectives: int, **parts: Any) -> GeneticAlgorithm:
        return _AgeMoeaAlgorithm(**parts)


class _AgeMoeaAlgorithm(GeneticAlgorithm):
    """The genetic algorithm of pymoo with tournaments by rank and score."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(
            selection=TournamentSelection(func_comp=binary_tournament),
            survival=_GeometrySurvival(filter_infeasible=True),
            advance_after_initial_infill=True,
            **parts,
        )
        self.tournament_type = "comp_by_rank_and_crowding"


class _GeometrySurvival(Survival):
    """Survival of the lowest ranks, and of the highest survival scores within the last rank."""

    def _do(self, problem: Problem, pop: Population, *args: Any, n_survive: int, **kwargs: Any) -> Population:
        losses = pop.get("F").astype(float)
        ranks, scores = geometry_scores(losses)
        order = np.lexsort((-scores, ranks))[:n_survive]
        pop.set("rank", ranks)
        pop.set("crowding", scores)
        return pop[np.sort(order)]


def geometry_scores(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return non-dominated ranks [N] and survival scores [N], higher better among equal ranks, of losses [N, K]."""
    ranks = moocore.pareto_rank(losses)
    first = losses[ranks == 0]
    moved = losses - first.min(axis=0)
    extremes = _extremes(moved[ranks == 0])
    scaled = moved / _intercepts(moved[ranks == 0], extremes)
    exponent = _exponent(scaled[ranks == 0], extremes)
    norms = np.maximum(_minkowski(scaled, exponent), _TINY)
    scores = 1 / norms
    scores[ranks == 0] = _first_front_scores(scaled[ranks == 0], norms[ranks == 0], extremes, exponent)
    return ranks, scores


def _minkowski(vectors: np.ndarray, exponent: float) -> np.ndarray:
    """Return lengths [...] of vectors [..., K]."""
    return (np.abs(vectors) ** exponent).sum(axis=-1) ** (1 / exponent)


def _extremes(front: np.ndarray) -> np.ndarray:
    """Return the point of the front [N, K] nearest to each axis [K]; all points where there are no more than axes."""
    n, k = front.shape
    if n <= k:
        return np.arange(n)
    squares = (front**2).sum(axis=1)
    found: list[int] = []
    for axis in np.eye(k) + 1e-6:
        away = squares - (front @ axis) ** 2 / (axis @ axis)
        away[found] = np.inf
        found.append(int(np.argmin(away)))
    return np.array(found)


def _intercepts(front: np.ndarray, extremes: np.ndarray) -> np.ndarray:
    """Return where the plane through the extremes cuts the axes [K]; the largest values where there is none."""
    k = front.shape[1]
    largest = front.max(axis=0)
    intercepts = largest
    if len(extremes) == k and np.linalg.matrix_rank(front[extremes]) == k:
        plane = np.linalg.solve(front[extremes], np.ones(k))
        if np.isfinite(plane).all() and (plane > 0).all():
            intercepts = 1 / plane
    return np.where(intercepts > _TINY, intercepts, 1.0)


def _exponent(front: np.ndarray, extremes: np.ndarray) -> float:
    """Return the p of the p-norm in which the central point of the scaled front has length 1."""
    k = front.shape[1]
    inner = np.setdiff1d(np.arange(len(front)), extremes)
    if k == 1 or len(inner) == 0:
        return 1.0
    points = front[inner]
    to_diagonal = (points**2).sum(axis=1) - points.sum(axis=1) ** 2 / k
    centre = float(points[np.argmin(to_diagonal)].mean())
    if not 0 < centre < 1:
        return 1.0
    return float(np.clip(np.log(k) / np.log(1 / centre), 0.1, 20.0))


def _first_front_scores(front: np.ndarray, norms: np.ndarray, extremes: np.ndarray, exponent: float) -> np.ndarray:
    """Return diversity over proximity [N]: the distance to the two nearest points chosen before, extremes first."""
    scores = np.full(len(front), np.inf)
    distances = np.maximum(_minkowski(front[:, None] - front[None], exponent), _TINY) / norms[:, None]
    chosen = list(extremes)
    rest = np.setdiff1d(np.arange(len(front)), extremes)
    while len(rest):
        nearest = np.sort(distances[np.ix_(rest, chosen)], axis=1)[:, :2].sum(axis=1)
        best = int(np.argmax(nearest))
        scores[rest[best]] = nearest[best]
        chosen.append(rest[best])
        rest = np.delete(rest, best)
    return scores
