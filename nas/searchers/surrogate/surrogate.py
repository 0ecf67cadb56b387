"""A search that learns from every evaluation what to evaluate next: for small evaluation budgets.

Paper: none of its own. Gaussian processes with expected hypervolume improvement (Emmerich et al., 2006); batches one
after the other as if each had come out as expected (Ginsbourger et al., Kriging is well-suited to parallelize
optimization, 2010); an inner evolutionary search on predictions, as in LINAS (arXiv 2202.12954).
Differs: from LINAS, evaluations come in small batches chosen for the gain of the front instead of whole populations;
predictions have uncertainty; objectives that can be computed are not predicted; the inner search starts at the front.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import moocore
import numpy as np

from nas.predictors.grouped_gaussian_process import GroupedGaussianProcess
from nas.predictors.ranking_ensemble import RankingEnsemble
from nas.searchers.new_architectures import key
from nas.searchers.searcher import Searcher
from nas.searchers.surrogate.beliefs import Beliefs, Exact, Model, Models
from nas.searchers.surrogate.candidates import Candidates
from nas.searchers.surrogate.design import first_pool, spread
from nas.searchers.surrogate.earlier import Earlier
from nas.searchers.surrogate.features import Columns, Features
from nas.searchers.surrogate.gain import Front
from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from supernets.streams import ASK, SURROGATE_ASK, SURROGATE_FEATURES

_GENERATION = 200  # candidates predicted at a time by the inner search
_SHORTLIST = 256
_PARENTS = 64
_PREDICTED_WHOLE = 12_000  # members of a space up to which all of them are predicted
_REACH = 0.1  # part of the extent of the front by which the reference lies behind its ends
_LUCK = 2.0  # standard deviations
_MARGIN = 0.01  # part of the extent of what was told by which the reference lies behind the worst
_WIDENINGS = (1.0, 3.0, 10.0)  # part of the uncertainty, until anything is expected to gain
_LEAST_GAIN = 1e-9


class _Told(NamedTuple):
    encoding: np.ndarray
    losses: np.ndarray
    violation: float
    errors: np.ndarray


class Surrogate(Searcher):
    """Model-based search of a front, or of the best of one objective.

    Args:
        space: Space to search.
        objectives: Number of objectives.
        population: Most architectures of the first design.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        evaluations: Number of evaluations of the search, if it is known; sizes that are not given follow it.
        exact: Index of an objective that can be computed -> its losses [N] of encodings [N, D].
        limits: Index of an objective that is not computed -> the largest loss allowed.
        standard_errors: Standard errors of the losses [K] that were told of an architecture.
        further: Further columns that the model sees, such as proxies.
        warm_start: Architectures and losses [K] of an earlier search, of the same objectives but another device or
            training; what is learned from them guides the first steps and is checked by every evaluation.
        model: `gp` or `ensemble`.
        initial: Architectures of the first design.
        batch: Architectures of an `ask` after it.
        inner_evaluations: Predictions for one `ask`.
    """

    predicts_gain = considers_pending = follows_evaluations = learns_from_earlier = True

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        population: int = 24,
        evaluations: int | None = None,
        exact: Mapping[int, Exact] | None = None,
        limits: Mapping[int, float] | None = None,
        standard_errors: Callable[[Architecture], Sequence[float]] | None = None,
        further: Sequence[Columns] = (),
        warm_start: Iterable[tuple[Architecture, Sequence[float]]] = (),
        model: Literal["gp", "ensemble"] = "gp",
        initial: int | None = None,
        batch: int | None = None,
        inner_evaluations: int | None = None,
    ) -> None:
        for name, value in (("initial", initial), ("batch", batch), ("inner_evaluations", inner_evaluations)):
            if value is not None and value < 1:
                raise FieldError(name, f"must be at least 1, or null, got {value}")
        self.space, self.objectives, self.seed = space, objectives, seed
        self.initial = initial or min(population, max(4, round(evaluations**0.5 / 2)) if evaluations else population)
        self.batch = batch or min(population, max(1, min(8, evaluations // 60)) if evaluations else 4)
        self.inner_evaluations = inner_evaluations or (1000 if space.fold else 4000 if self.batch > 1 else 2000)
        self.standard_errors, self.model = standard_errors, model
        self.candidates = Candidates(space, violation)
        earlier = Earlier.of(space, list(warm_start), objectives, exact or {}, seed)
        columns = [*further] if earlier is None else [*earlier.columns(), *further]
        self.features = Features(space, SURROGATE_FEATURES.generator(seed), columns)
        self.models = Models(self._make_model, objectives, exact or {}, limits or {})
        self._earlier_front = np.zeros((0, len(space.decisions)), dtype=np.int64) if earlier is None else earlier.front
        self._told: dict[bytes, _Told] = {}
        self._asked: dict[bytes, np.ndarray] = {}
        self._tells = self._asks = 0
        self._front: Front | None = None
        self._seen: tuple[np.ndarray, list[bytes]] | None = None

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        """Propose a batch; beside pending candidates one, as if they had come out as expected."""
        generator = SURROGATE_ASK.generator(self.seed, ASK, self._tells, self._asks)
        self._asks += 1
        self.expected_gain = None
        if pending:
            self._asked = {key(row): row for row in map(self.space.encode, pending)}
        batch = 1 if pending else self.batch
        missing = self.initial - len(self._told) - len(pending)
        if missing > 0 or self._front is None:
            chosen = self._first(max(missing, batch), generator)
        else:
            chosen = self._best(self._front, generator, batch)
        if pending:
            return [self.space.decode(row) for row in chosen]
        if len(chosen) == 0:  # anything left was asked for already
            chosen = np.array(list(self._asked.values())).reshape(-1, len(self.space.decisions))
        self._asked.update((key(row), row) for row in chosen)
        return [self.space.decode(row) for row in chosen]

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        losses = np.asarray(losses, dtype=float)
        for architecture, row, violation in zip(architectures, losses, violations):
            encoding = self.space.encode(architecture)
            errors = np.zeros(self.objectives)
            if self.standard_errors is not None:
                errors = np.nan_to_num(np.asarray(self.standard_errors(architecture), dtype=float))
            broken = np.inf if np.isnan(violation) else float(violation)
            self._told[key(encoding)] = _Told(encoding, row, broken, errors)
        self._asked.clear()
        self._tells, self._asks = self._tells + 1, 0
        self._front = None
        if len(self._told) >= self.initial:
            self._learn()

    def _make_model(self) -> Model:
        if self.model == "ensemble":
            return RankingEnsemble(seed=self.seed)
        return GroupedGaussianProcess(
            groups=self.features.groups.tolist(), numeric=self.features.numeric, seed=self.seed
        )

    def _learn(self) -> None:
        told = list(self._told.values())
        encodings = np.stack([t.encoding for t in told])
        losses, violations = np.stack([t.losses for t in told]), np.array([t.violation for t in told])
        errors = np.stack([t.errors for t in told]) if self.standard_errors is not None else None
        smoothed = self.models.fit(self.features(encodings), losses, violations, errors)
        finite = np.isfinite(smoothed).all(axis=1)
        if not self.models.are_fitted or not finite.any():
            return
        self._encodings = encodings
        self._points, self._feasible = smoothed, finite & (violations <= 0)
        good = self._points[self._feasible]
        self._front = _front(good if len(good) else smoothed[finite], good)

    # ---- the first design -----------------------------------------------------------------------------------------

    def _first(self, n: int, generator: np.random.Generator) -> np.ndarray:
        known = self._known()
        earlier = self.candidates.allowed(self._earlier_front, known)
        taken = earlier[np.unique(np.linspace(0, len(earlier) - 1, min(n // 2, len(earlier))).round().astype(int))]
        known.update(map(key, taken))
        pool = first_pool(self.space, self.candidates, generator, known)
        if len(pool) == 0:
            return taken
        costs = self.features.costs(pool)[:, :1]
        place = costs[:, 0] if costs.shape[1] else generator.random(len(pool))
        return np.concatenate([taken, pool[spread(pool, place, n - len(taken), self.space.active(pool))]])

    def _known(self) -> set[bytes]:
        return {*self._told, *self._asked}

    # ---- later ones -----------------------------------------------------------------------------------------------

    def _best(self, front: Front, generator: np.random.Generator, batch: int) -> np.ndarray:
        """Return the batch [N, D] of the largest expected gain."""
        pool, front = self._inner_search(front, generator)
        if len(pool) == 0:
            return pool
        pending = np.array(list(self._asked.values()), dtype=np.int64).reshape(-1, pool.shape[1])
        encodings = np.concatenate([pending, pool])
        beliefs = self._believe(encodings)
        for row in range(len(pending)):
            front = _pretend(front, beliefs, row)
        volume, gained = front.volume(), 0.0
        chosen: list[int] = []
        for _ in range(min(batch, len(pool))):
            gains = _gains(front, beliefs)
            gains[: len(pending)] = -1
            gains[chosen] = -1
            pick = int(np.argmax(gains))
            chosen.append(pick)
            gained += float(_plain_gain(front, beliefs, pick))
            front = _pretend(front, beliefs, pick)
        self.expected_gain = gained / volume / len(chosen) if volume > 0 else np.inf
        return encodings[chosen]

    def _inner_search(self, front: Front, generator: np.random.Generator) -> tuple[np.ndarray, Front]:
        """Return a short list [M, D] of candidates that gain much, or are predicted to be on the front.

        Return also the front as far as it is expected to reach.
        """
        known = self._known()
        if self.candidates.is_listed and len(self.candidates.all()) <= max(_PREDICTED_WHOLE, self.inner_evaluations):
            return self._shortlist(front, known)
        elite = self._encodings[self._near_front()]
        generation = np.concatenate(
            [
                self.candidates.offspring(elite, _GENERATION // 2, generator, known),
                self.candidates.random(_GENERATION // 2, generator, known),
            ]
        )
        pool, scores, hopes = generation[:0], np.zeros(0), np.zeros((0, self.objectives))
        for _ in range(max(1, self.inner_evaluations // _GENERATION)):
            if len(generation):
                beliefs = self._believe(generation)
                if len(pool) == 0:
                    front = _reaching(front, beliefs)
                pool = np.concatenate([pool, generation])
                scores = np.concatenate([scores, _gains(front, beliefs)])
                hopes = np.concatenate([hopes, beliefs.hoped()])
                known.update(map(key, generation))
            parents = np.concatenate([pool[_leading(scores, hopes, _PARENTS)], elite])
            generation = self.candidates.offspring(parents, _GENERATION, generator, known)
        return pool[_leading(scores, hopes, _SHORTLIST)], front

    def _shortlist(self, front: Front, known: Collection[bytes]) -> tuple[np.ndarray, Front]:
        """Return the same from all members of a small space."""
        everything = self.candidates.all()
        if self._seen is None:
            self._seen = self.features(everything), [key(row) for row in everything]
        features, keys = self._seen
        rows = np.array([i for i, name in enumerate(keys) if name not in known], dtype=np.int64)
        if len(rows) == 0:
            return everything[:0], front
        beliefs = self.models.believe(everything[rows], features[rows])
        front = _reaching(front, beliefs)
        return everything[rows[_leading(_gains(front, beliefs), beliefs.hoped(), _SHORTLIST)]], front

    def _believe(self, encodings: np.ndarray) -> Beliefs:
        return self.models.believe(encodings, self.features(encodings))

    def _near_front(self) -> np.ndarray:
        """Return rows of what was told that lead the inner search: the front, those behind it, up to a number."""
        rows = np.flatnonzero(self._feasible)
        if len(rows) == 0:
            rows = np.flatnonzero(np.isfinite(self._points).all(axis=1))
        ranks = moocore.pareto_rank(self._points[rows])
        return rows[np.argsort(ranks, kind="stable")][:_PARENTS]


def _front(points: np.ndarray, feasible: np.ndarray) -> Front:
    """Return the front to improve on.

    The reference is a little behind the worst of all: one behind the worst of the front would be blind to candidates
    that cost more and are better.
    """
    ideal, worst = points.min(axis=0), points.max(axis=0)
    span = np.where(worst > ideal, worst - ideal, np.maximum(1e-6, np.abs(ideal)))
    return Front(feasible, worst + _MARGIN * span, ideal)


def _reaching(front: Front, beliefs: Beliefs) -> Front:
    """Return the front with a reference a little behind its ends.

    The ends are known, or expected, or optimistic in the first objective. A reference behind the worst of all
    would spend evaluations on candidates that are far worse and hardly cheaper; one behind the known ends would be
    blind to those that cost more and are better.
    """
    expected = beliefs.expected()
    lucky = expected.copy()
    lucky[:, 0] = beliefs.objectives[0].hoped(_LUCK)
    hoped = np.concatenate([expected[beliefs.feasible > 0.5], lucky[beliefs.feasible > 0.5]])
    points = np.concatenate([front.points, hoped[(hoped < front.reference).all(axis=1)]])
    if len(points) == 0:
        return front
    ends = points[moocore.is_nondominated(points, keep_weakly=False)]
    best, worst = ends.min(axis=0), ends.max(axis=0)
    extent = np.where(worst > best, worst - best, front.reference - best)
    return Front(front.points, np.minimum(worst + _REACH * extent, front.reference), best)


def _gains(front: Front, beliefs: Beliefs) -> np.ndarray:
    """Return expected gains [M]; where none is, as if all were less certain."""
    for widening in _WIDENINGS:
        gains = front.gains([belief.outcomes(widening) for belief in beliefs.objectives]) * beliefs.feasible
        if gains.max(initial=0.0) > _LEAST_GAIN:
            break
    return gains


def _plain_gain(front: Front, beliefs: Beliefs, row: int) -> float:
    outcomes = [belief.outcomes() for belief in beliefs.objectives]
    return float((front.gains(outcomes) * beliefs.feasible)[row])


def _pretend(front: Front, beliefs: Beliefs, row: int) -> Front:
    """Return the front once a candidate has come out as expected; what the others would tell then is smaller."""
    for belief in beliefs.objectives:
        belief.choose(row)
    return front.extended(beliefs.expected()[row])


def _leading(scores: np.ndarray, hopes: np.ndarray, n: int) -> np.ndarray:
    """Return up to `n` rows: half by score, half by rank of what is hoped for."""
    by_score = np.argsort(-scores, kind="stable")[: (n + 1) // 2]
    rest = np.setdiff1d(np.arange(len(scores)), by_score)
    if len(rest) == 0:
        return by_score
    ranks = moocore.pareto_rank(hopes[rest])
    return np.concatenate([by_score, rest[np.lexsort((-scores[rest], ranks))][: n // 2]])
