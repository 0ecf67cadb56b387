"""What can be reached under hard limits: before a search by exact costs, after it by what was evaluated."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from nas.objectives.objective import Bound
from nas.search.journal import Evaluation
from nas.searchers.new_architectures import Unseen
from nas.searchers.ofa_evolution import OfaEvolution
from search_spaces import Space

_MEMBERS, _GENERATIONS = 64, 25


def contradiction(space: Space, bounds: Mapping[str, Bound], *, seed: int = 0) -> tuple[str, float] | None:
    """The first of limits on exact costs that nothing was found to keep beside those before it, and the best value of
    it that was found beside them; None where all of them can be kept.

    Args:
        space: With exact costs.
        bounds: Limits on `macs` and `params`.
        seed: Of the looking.
    """
    kept: dict[str, Bound] = {}
    for name, bound in bounds.items():
        together = {**kept, name: bound}
        unseen = Unseen(space, partial(_outside, space, together), np.random.default_rng(seed))
        if len(unseen.random(1)) == 0:
            return name, _nearest(space, name, bound, kept, seed)
        kept = together
    return None


def nearest_found(evaluations: Sequence[Evaluation], bounds: Mapping[str, Bound]) -> str | None:
    """One line on the limit that came nearest to being kept by candidates that keep all others; None where some keep
    all, or none was evaluated."""
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


def _nearest(space: Space, name: str, bound: Bound, kept: Mapping[str, Bound], seed: int) -> float:
    """The value nearest to a limit among architectures that keep others, by evolution."""

    def outside(encodings: np.ndarray) -> np.ndarray:
        return _outside(space, kept, encodings)

    searcher = OfaEvolution(space, objectives=1, seed=seed, population=_MEMBERS, violation=outside)
    found: list[float] = []
    for _ in range(_GENERATIONS):
        asked = searcher.ask()
        if not asked:
            break
        values = np.asarray(getattr(space.costs(asked), name), dtype=float)
        violations = np.array([bound.violation(value) for value in values])
        encodings = np.stack([space.encode(architecture) for architecture in asked])
        searcher.tell(asked, violations[:, None], outside(encodings))
        found += values[outside(encodings) <= 0].tolist()
    return min(found, key=bound.violation)


def _outside(space: Space, bounds: Mapping[str, Bound], encodings: np.ndarray) -> np.ndarray:
    """Violations [N] of encodings [N, D]."""
    total = np.zeros(len(encodings))
    if not bounds or len(encodings) == 0:
        return total
    costs = space.costs(encodings)
    for name, bound in bounds.items():
        total += [bound.violation(float(value)) for value in getattr(costs, name)]
    return total
