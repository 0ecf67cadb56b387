"""Which values can be reached under hard limits: computed ones before a search, evaluated ones after it."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from nas.objectives.objective import Bound, Computed
from nas.search.journal import Evaluation
from nas.searchers.new_architectures import NewArchitectures
from nas.searchers.ofa_evolution import OfaEvolution
from search_spaces import Space
from supernets.streams import SEARCHER

_MEMBERS, _GENERATIONS = 64, 25


def contradiction(space: Space, limits: Sequence[tuple[Computed, Bound]], *, seed: int = 0) -> tuple[int, float] | None:
    """Return the limit that no architecture was found to keep together with the limits before it, and the best value
    found.

    It is None where all of them can be kept.

    Args:
        space: Space to look in.
        limits: Limited objectives and their bounds.
        seed: Seed of the draws.
    """
    for place, (objective, bound) in enumerate(limits):
        new = NewArchitectures(space, partial(_outside, limits[: place + 1]), SEARCHER.generator(seed))
        if len(new.random(1)) == 0:
            return place, _nearest(space, objective, bound, limits[:place], seed)
    return None


def nearest_found(evaluations: Sequence[Evaluation], bounds: Mapping[str, Bound]) -> str | None:
    """Return one line on the limit that came nearest to being kept by candidates that keep all others.

    It is None where some candidate keeps all limits, or none was evaluated.
    """
    lines = {}
    for name, bound in bounds.items():
        others = {other: limit for other, limit in bounds.items() if other != name}
        values = [e.values[name] for e in evaluations if name in e.values and _keeps(e, others)]
        if values:
            best = min(values, key=bound.violation)
            beside = " beside the other limits" if others else ""
            lines[bound.violation(best)] = f"{name} reached {best:.6g}{beside}"
    return None if not lines or min(lines) <= 0 else lines[min(lines)]


def _keeps(evaluation: Evaluation, bounds: Mapping[str, Bound]) -> bool:
    return all(n in evaluation.values and b.violation(evaluation.values[n]) <= 0 for n, b in bounds.items())


def _nearest(
    space: Space, objective: Computed, bound: Bound, kept: Sequence[tuple[Computed, Bound]], seed: int
) -> float:
    """Return the value nearest to a limit among architectures that keep others, by evolution."""
    searcher = OfaEvolution(space, objectives=1, seed=seed, population=_MEMBERS, violation=partial(_outside, kept))
    found: list[float] = []
    for _ in range(_GENERATIONS):
        asked = searcher.ask()
        if not asked:
            break
        encodings = np.stack([space.encode(architecture) for architecture in asked])
        values = np.asarray(objective.evaluate_encodings(encodings), dtype=float)
        violations = np.array([bound.violation(value) for value in values])
        outside = _outside(kept, encodings)
        searcher.tell(asked, violations[:, None], outside)
        found += values[outside <= 0].tolist()
    return min(found, key=bound.violation)


def _outside(limits: Sequence[tuple[Computed, Bound]], encodings: np.ndarray) -> np.ndarray:
    """Return violations [N] of encodings [N, D]."""
    total = np.zeros(len(encodings))
    if len(encodings) == 0:
        return total
    for objective, bound in limits:
        total += [bound.violation(float(value)) for value in objective.evaluate_encodings(encodings)]
    return total
