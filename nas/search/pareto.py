"""Pareto fronts of what was evaluated, and their hypervolume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np

from nas.search.evaluators import FULL
from nas.search.journal import Evaluation

Direction = tuple[str, bool]  # name of an objective, whether it is maximised


def losses(evaluations: Sequence[Evaluation], objectives: Sequence[Direction]) -> np.ndarray:
    """Return objective values as numbers to minimise [N, K]; infinite where a candidate has none."""
    rows = [
        [(-1 if maximise else 1) * e.values.get(name, -np.inf if maximise else np.inf) for name, maximise in objectives]
        for e in evaluations
    ]
    return np.array(rows, dtype=float).reshape(len(evaluations), len(objectives))


def pareto_front(evaluations: Sequence[Evaluation], objectives: Sequence[Direction]) -> list[Evaluation]:
    """Return the feasible evaluations that none other dominates, one for each distinct point, by the last objective."""
    feasible = [e for e in evaluations if e.status == "ok" and e.fidelity == FULL]
    if not feasible:
        return []
    points = losses(feasible, objectives)
    keep = moocore.is_nondominated(points, keep_weakly=False)
    order = np.argsort(points[:, -1], kind="stable")
    return [feasible[i] for i in order if keep[i]]


def surely_dominated(evaluations: Sequence[Evaluation], objectives: Sequence[Direction]) -> np.ndarray:
    """Return which evaluations [N] a feasible one dominates wherever the true values lie within the 95% intervals."""
    best, worst = (_ends(evaluations, objectives, end) for end in (0, 1))
    feasible = np.array([e.status == "ok" and e.fidelity == FULL for e in evaluations], dtype=bool)
    dominated = np.zeros(len(evaluations), dtype=bool)
    for i in np.flatnonzero(feasible):
        dominated |= (worst[i] <= best).all(axis=1) & (worst[i] < best).any(axis=1)
    return dominated


def _ends(evaluations: Sequence[Evaluation], objectives: Sequence[Direction], end: int) -> np.ndarray:
    """Return the lowest (0) or highest (1) losses [N, K] within intervals."""
    points = losses(evaluations, objectives)
    for k, (name, maximise) in enumerate(objectives):
        for i, evaluation in enumerate(evaluations):
            if name in evaluation.intervals:
                low, high = evaluation.intervals[name]
                points[i, k] = (-high, -low)[end] if maximise else (low, high)[end]
    return points


def contenders(
    evaluations: Sequence[Evaluation], objectives: Sequence[Direction], *, layers: int = 2, most: int | None = None
) -> list[Evaluation]:
    """Return the candidates that may be on the front once noisy objectives are measured better.

    These are the front, the front of the rest, and so on, then all others that are not surely dominated.
    A candidate that one unlucky measurement kept off the front is among them. `most` limits their number; the front
    itself is always whole.
    """
    rest, found = list(evaluations), []
    near = [e for e, out in zip(evaluations, surely_dominated(evaluations, objectives)) if not out and e.status == "ok"]
    for layer_index in range(layers):
        layer = pareto_front(rest, objectives)
        chosen = {evaluation.architecture for evaluation in layer}
        rest = [evaluation for evaluation in rest if evaluation.architecture not in chosen]
        found += layer
        if layer_index == 0:
            most = None if most is None else max(most, len(layer))
    known = {evaluation.architecture for evaluation in found}
    ties = [e for e in near if e.architecture not in known and e.fidelity == FULL]
    return [*found, *ties][:most]


@dataclass(frozen=True)
class Hypervolume:
    """The share of the box between `ideal` and `reference` that the front dominates, after each number of evaluations.

    `reference` and `ideal` are the worst and the best value of each objective among the feasible evaluations, so a
    share compares moments of one search, not two searches.
    """

    reference: dict[str, float]
    ideal: dict[str, float]
    curve: list[tuple[int, float]]

    def to_json(self) -> dict[str, Any]:
        return {"reference": self.reference, "ideal": self.ideal, "curve": [list(point) for point in self.curve]}


def hypervolume(
    evaluations: Sequence[Evaluation], objectives: Sequence[Direction], *, points: int = 200
) -> Hypervolume:
    """Return the hypervolume over the evaluations, at up to `points` moments."""
    feasible = np.array([e.status == "ok" and e.fidelity == FULL for e in evaluations], dtype=bool)
    if not feasible.any():
        return Hypervolume({}, {}, [(len(evaluations), 0.0)])
    values = losses(evaluations, objectives)
    worst, best = values[feasible].max(axis=0), values[feasible].min(axis=0)
    scaled = np.where(feasible[:, None], (values - best) / np.where(worst > best, worst - best, 1.0), 1.0)
    reference = np.ones(len(objectives))
    moments = np.unique(np.linspace(1, len(evaluations), min(points, len(evaluations))).round().astype(int))
    curve, front = [], np.empty((0, len(objectives)))
    for before, after in zip([0, *moments[:-1]], moments):
        front = np.concatenate([front, scaled[before:after]])
        front = front[moocore.is_nondominated(front)]
        curve.append((int(after), float(moocore.hypervolume(front, ref=reference))))
    signs = {name: -1.0 if maximise else 1.0 for name, maximise in objectives}
    return Hypervolume(
        {name: signs[name] * float(value) for name, value in zip(signs, worst)},
        {name: signs[name] * float(value) for name, value in zip(signs, best)},
        curve,
    )
