"""LINAS: predictors learn from all evaluations, and a long evolutionary search on them says what to evaluate next.

Paper: Sarah et al., A Hardware-Aware System for Accelerating Deep Neural Network Optimization, arXiv 2202.12954,
algorithm 1 (ConcurrentNAS); LINAS is its name in the released successor, DyNAS-T, whose settings these are. Every round
a predictor of each objective is trained anew on one-hot features, and an evolutionary search from a random population
asks the predictors 20,000 times; its last population is evaluated. It is a genetic algorithm for one objective, NSGA-II
for two, U-NSGA-III for more; simulated binary crossover (0.9 of the pairs, eta 15; with U-NSGA-III all, eta 30) and
polynomial mutation (0.02 of the genes, eta 20), rounded.
Differs: the first population has no doubles. Duplicates are told by the canonical form, where the release compares
decisions that have no effect, too; features are of the canonical form. What was evaluated before is not evaluated
again: in its place stands the best of what else the inner search visited, by predicted rank and crowding. The inner
search has another seed in every round, the release the same. The order of the objectives is kept, the number of
evaluations is exact, and the last predicted population is not returned: only what was evaluated counts. The paper has
no limits: exact ones are constraints of the inner search, and how far evaluated candidates broke limits that are
measured is predicted as one more target, a constraint too. Candidates that failed teach nothing. Reference directions
of more than two objectives are as many as members at equal steps; the release has 20 of least energy.
The polynomial mutation is the published one, but rounding leaves almost nothing of it: steps of eta 20 are far shorter
than the distance of two choices, so a child of 45 genes with three choices has 0.002 genes changed, and the inner
search lives from crossover. `mutation="redrawn"` is a repaired variant: 0.02 of the genes, and one of a child at least
on average, become another choice, drawn uniformly. `exact_costs=True` computes objectives that the space knows exactly,
where the release predicts all; with `features="summary"` the predictors see what `surrogate` sees.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.unsga3 import UNSGA3
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.selection.tournament import TournamentSelection

from nas.predictors import Predictor, RidgeOrSVR
from nas.searchers.array_mating import ArrayMating, Survivors, tournament
from nas.searchers.genes import CanonicalRepair, MutationName, Redrawn
from nas.searchers.new_architectures import NewArchitectures
from nas.searchers.non_dominated import best_first
from nas.searchers.nsga3 import reference_directions
from nas.searchers.searcher import Searcher
from nas.searchers.surrogate.beliefs import Exact
from nas.searchers.surrogate.features import Columns, Features
from search_spaces import Architecture, Space
from supernets.streams import LINAS_FIRST, LINAS_NEW, LINAS_ROUND, SURROGATE_FEATURES

_LEAST_ROWS = 5  # as many as there are folds
_MUTATION_RATE = 0.02  # of the genes
_MATINGS = 3  # tries to fill a generation without doubles; a converged one in a small space cannot be filled

LinasFeatures = Literal["one_hot", "summary"]


class Linas(Searcher):
    """LINAS; a round is what is told together.

    When it is asked again before it is told, it proposes the next best of the same inner search.

    Args:
        space: Space to search.
        objectives: Number of objectives.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        population: Architectures of a round, and members of the inner search.
        inner_evaluations: Predictions of one inner search.
        predictor: Makes the predictor of one objective.
        mutation: Mutation of the inner search: the published `polynomial` one, or `redrawn`, which rounding keeps.
        exact: Index of an objective that can be computed -> its losses [N] of encodings [N, D].
        exact_costs: Whether what can be computed is not predicted.
        features: What the predictors see: choices `one_hot`, or also the `summary` that `surrogate` sees.
    """

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        population: int = 50,
        inner_evaluations: int = 20_000,
        predictor: Callable[[], Predictor] = RidgeOrSVR,
        mutation: MutationName = "polynomial",
        exact: Mapping[int, Exact] | None = None,
        exact_costs: bool = False,
        features: LinasFeatures = "one_hot",
    ) -> None:
        if population < 2:
            raise ValueError(f"population must be at least 2, got {population}")
        if inner_evaluations < population:
            raise ValueError(
                f"inner_evaluations must be at least the population, {population}; got {inner_evaluations}"
            )
        for name, value, allowed in (("mutation", mutation, MutationName), ("features", features, LinasFeatures)):
            if value not in get_args(allowed):
                raise ValueError(f"{name} must be one of {', '.join(get_args(allowed))}; got {value!r}")
        self.space, self.objectives, self.seed, self.violation = space, objectives, seed, violation
        self.mutation, self.exact = mutation, dict(exact or {}) if exact_costs else {}
        self.features: Columns = partial(one_hot, space)
        if features == "summary":
            self.features = Features(space, SURROGATE_FEATURES.generator(seed))
        self.population, self.inner_evaluations, self.predictor = population, inner_evaluations, predictor
        self._new = NewArchitectures(space, violation, LINAS_NEW.generator(seed))
        self._rows: dict[Architecture, tuple[np.ndarray, np.ndarray, float]] = {}
        self._liked: np.ndarray | None = None
        self._rounds = 0
        self._directions = reference_directions(objectives, population) if objectives > 2 else None

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        usable = [row for row in self._rows.values() if np.isfinite(row[1]).all() and np.isfinite(row[2])]
        if len(self._rows) < self.population or len(usable) < _LEAST_ROWS:
            encodings = self._new.random(max(self.population - len(self._rows), _LEAST_ROWS))
        else:
            if self._liked is None:
                self._rounds += 1
                self._liked = self._inner_search(usable)
            encodings = self._new.take(self._liked, self.population)
        return [self.space.decode(encoding) for encoding in encodings]

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        for architecture, loss, violation in zip(architectures, losses, violations):
            self._rows.setdefault(architecture, (self.space.encode(architecture), loss, float(violation)))
        self._new.tell(architectures)
        self._liked = None

    def _inner_search(self, rows: Sequence[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
        """Return canonical encodings [N, D] that an inner search visited, its last population first, then the best."""
        predicted = _Predicted(self, rows)
        algorithm = self._algorithm()
        generations = max(1, self.inner_evaluations // self.population)
        seed = int(LINAS_ROUND.generator(self.seed, self._rounds).integers(1 << 31))
        mating = algorithm.mating
        algorithm.mating = ArrayMating(
            mating.selection, mating.crossover, mating.mutation, repair=mating.repair, n_max_iterations=_MATINGS
        )
        algorithm.setup(predicted, termination=("n_gen", generations), seed=seed, verbose=False)
        algorithm.run()
        last = algorithm.pop
        order = best_first(last.get("F"), last.get("CV")[:, 0])
        others, losses, outside = predicted.visited()
        return np.concatenate([last.get("X")[order].astype(np.int64), others[best_first(losses, outside)]])

    def _algorithm(self) -> GeneticAlgorithm:
        """Return the inner search, from a random population."""
        generator = LINAS_FIRST.generator(self.seed, self._rounds)
        many = self._directions is not None
        parts: dict[str, Any] = {
            "pop_size": self.population,
            "sampling": self.space.sample_encodings(self.population, generator),
            "crossover": SBX(prob=1.0 if many else 0.9, eta=30 if many else 15, vtype=float),
            "mutation": self._mutation(),
            "repair": CanonicalRepair(self.space, generator),
            "eliminate_duplicates": True,
        }
        if self.objectives == 1:
            return GA(**parts)
        if self._directions is not None:
            return UNSGA3(self._directions, **parts)
        return NSGA2(**parts, selection=TournamentSelection(func_comp=tournament), survival=Survivors())

    def _mutation(self) -> Mutation:
        if self.mutation == "polynomial":
            return PM(prob=1.0, prob_var=_MUTATION_RATE, eta=20, vtype=float)
        return Redrawn(self.space.choice_counts, max(_MUTATION_RATE, 1 / len(self.space.decisions)))


class _Predicted(Problem):
    """The search problem as the predictors see it."""

    def __init__(self, searcher: Linas, rows: Sequence[tuple[np.ndarray, np.ndarray, float]]) -> None:
        encodings, losses, violations = (np.array(part) for part in zip(*rows))
        space, predictor = searcher.space, searcher.predictor
        columns = len(space.decisions)
        super().__init__(n_var=columns, n_obj=losses.shape[1], n_ieq_constr=1, xl=0, xu=space.choice_counts - 1)
        self.violation, self.features, self.exact = searcher.violation, searcher.features, searcher.exact
        features = self.features(encodings)
        self.predictors = {
            place: predictor().fit(features, column) for place, column in enumerate(losses.T) if place not in self.exact
        }
        self.limits = predictor().fit(features, violations) if (violations > 0).any() else None
        self._seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def visited(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what was asked for: distinct encodings [N, D], predicted losses [N, K] and violations [N]."""
        encodings, losses, violations = (np.concatenate(parts) for parts in zip(*self._seen))
        _, first = np.unique(encodings, axis=0, return_index=True)
        first = np.sort(first)
        return encodings[first], losses[first], violations[first]

    def _evaluate(self, x: np.ndarray, out: dict[str, np.ndarray], *args: Any, **kwargs: Any) -> None:
        encodings = np.asarray(x, dtype=np.int64)
        features = self.features(encodings)
        columns = [
            self.exact[place](encodings) if place in self.exact else self.predictors[place].predict(features).mean
            for place in range(self.n_obj)
        ]
        losses = np.stack(columns, axis=1).astype(float)
        violations = self.violation(encodings)
        if self.limits is not None:
            violations = violations + np.maximum(0.0, self.limits.predict(features).mean)
        self._seen.append((encodings, losses, violations))
        out["F"], out["G"] = losses, violations[:, None]


def one_hot(space: Space, encodings: np.ndarray) -> np.ndarray:
    """Return one-hot features [N, total number of choices] of canonical encodings [N, D], a one for every decision."""
    offsets = np.concatenate([[0], np.cumsum(space.choice_counts)])
    features = np.zeros((len(encodings), offsets[-1]))
    np.put_along_axis(features, offsets[:-1] + encodings, 1.0, axis=1)
    return features
