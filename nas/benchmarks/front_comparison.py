"""Pareto fronts of several searches beside each other: hypervolume under one reference, coverage, what a budget buys.

*Paper*: coverage of two sets, C(A, B), is that of Zitzler and Thiele, "Multiobjective evolutionary algorithms: a
comparative case study and the strength Pareto approach" (1999): the share of B that some member of A equals or beats in
every objective. C(A, B) and C(B, A) are both needed; neither follows from the other.
*Differs*: beside it stands the share that is still covered when each measured value is taken at the end of its interval
that speaks against A.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import moocore
import numpy as np

from nas.search.pareto import Direction

Member = Mapping[str, Any]
"""A member of a front as front.json has it: `values` and `intervals` by the name of the objective."""
_MARGIN = 0.1


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of one front another one covers, as shares from 0 to 1.

    Attributes:
        share: Members that are equalled or beaten in every objective.
        beyond_error: The same where intervals of measured values are held against the covering front.
    """

    share: float
    beyond_error: float


@dataclass(frozen=True, kw_only=True)
class FrontComparison:
    """What was found.

    Attributes:
        directions: The objectives, and whether each is maximised.
        reference: Objective -> value at the bad corner of the box in which hypervolume is measured.
        ideal: Objective -> value at its good corner.
        hypervolume: Front -> share of the box that it dominates.
        outside: Front -> members that are no better than the reference in some objective, and count for nothing.
        coverage: (A, B) -> how much of B is covered by A.
        members: Front -> how many members were compared; those that lack a value are left out.
    """

    directions: tuple[Direction, ...]
    reference: dict[str, float]
    ideal: dict[str, float]
    hypervolume: dict[str, float]
    outside: dict[str, int]
    coverage: dict[tuple[str, str], Coverage]
    members: dict[str, int]


def compare_fronts(
    fronts: Mapping[str, Sequence[Member]],
    directions: Sequence[Direction],
    *,
    reference: Mapping[str, float] | None = None,
) -> FrontComparison:
    """Compare fronts under the same objectives.

    Args:
        fronts: Name -> members.
        directions: What they are compared by.
        reference: Objective -> worst value that counts; by default the worst value of all fronts, and a tenth of their
            range beyond it, so that the members at the ends count too.

    Raises:
        ValueError: A front has no member with all values, or the reference is not beyond the best value.
    """
    points = {name: losses_of(members, directions) for name, members in fronts.items()}
    for name, found in points.items():
        if not len(found):
            raise ValueError(f"{name}: no member has a value of every objective ({_names(directions)})")
    together = np.concatenate(list(points.values()))
    best, worst = together.min(axis=0), together.max(axis=0)
    corner = worst + _MARGIN * np.where(worst > best, worst - best, np.maximum(np.abs(worst), 1e-9))
    signs = np.array([-1.0 if maximise else 1.0 for _, maximise in directions])
    if reference is not None:
        corner = signs * np.array([reference[name] for name, _ in directions])
        for (name, _), counted, known, sign in zip(directions, corner, best, signs):
            if not counted > known:
                raise ValueError(f"{name}={sign * counted:g} must be worse than the best value, {sign * known:g}")
    inside = {name: (found < corner).all(axis=1) for name, found in points.items()}
    return FrontComparison(
        directions=tuple(directions),
        reference=_named(directions, signs * corner),
        ideal=_named(directions, signs * best),
        hypervolume={name: _share(found[inside[name]], best, corner) for name, found in points.items()},
        outside={name: int((~kept).sum()) for name, kept in inside.items()},
        coverage={(a, b): _coverage(fronts[a], fronts[b], directions) for a in fronts for b in fronts if a != b},
        members={name: len(found) for name, found in points.items()},
    )


def losses_of(members: Sequence[Member], directions: Sequence[Direction], *, pessimistic: float = 0.0) -> np.ndarray:
    """Return values as numbers to minimise [N, K], of the members that have all of them.

    Args:
        members: Of a front.
        directions: The objectives, and whether each is maximised.
        pessimistic: 1 takes the bad end of each interval, -1 the good one, 0 the value itself.
    """
    rows = [[_loss(member, name, maximise, pessimistic) for name, maximise in directions] for member in members]
    found = np.array(rows, dtype=float).reshape(len(members), len(directions))
    return found[np.isfinite(found).all(axis=1)]


def best_within(members: Sequence[Member], quality: Direction, cost: str, budget: float) -> Member | None:
    """Return the best member that costs no more than the budget, the cheaper of equals; None where none does."""
    name, maximise = quality
    sign = -1.0 if maximise else 1.0
    within = [m for m in members if _value(m, cost) <= budget and isfinite(_value(m, name))]
    return min(within, key=lambda m: (sign * _value(m, name), _value(m, cost)), default=None)


def round_budgets(fronts: Mapping[str, Sequence[Member]], cost: str, *, count: int = 6) -> list[float]:
    """Return budgets of two digits from the cost of the cheapest member to the dearest, evenly spaced in ratio."""
    costs = np.array([value for members in fronts.values() for m in members if isfinite(value := _value(m, cost))])
    if not len(costs) or costs.min() <= 0:
        return []
    steps = np.geomspace(costs.min(), costs.max(), count)
    return sorted({_rounded_up(float(step)) for step in steps})


def _rounded_up(value: float) -> float:
    """Return the next number of two digits."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / unit - 1e-9) * unit:.3g}")


def _value(member: Member, name: str) -> float:
    value = member["values"].get(name)
    return float("nan") if value is None else float(value)


def _loss(member: Member, name: str, maximise: bool, pessimistic: float) -> float:
    value = _value(member, name)
    low, high = (member.get("intervals") or {}).get(name) or (value, value)
    low, high = (value if end is None or not isfinite(end) else end for end in (low, high))
    if pessimistic:
        value = low if (pessimistic > 0) == maximise else high
    return -value if maximise else value


def _share(points: np.ndarray, best: np.ndarray, corner: np.ndarray) -> float:
    """Return the share of the box between the two corners."""
    if not len(points):
        return 0.0
    return float(moocore.hypervolume((points - best) / (corner - best), ref=np.ones(len(best))))


def _coverage(ours: Sequence[Member], theirs: Sequence[Member], directions: Sequence[Direction]) -> Coverage:
    shares = [
        _covered(losses_of(ours, directions, pessimistic=sign), losses_of(theirs, directions, pessimistic=-sign))
        for sign in (0.0, 1.0)
    ]
    return Coverage(share=shares[0], beyond_error=shares[1])


def _covered(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the share of rows of `theirs` [M, K] that a row of `ours` [N, K] equals or beats in every column."""
    return float((ours[:, None, :] <= theirs[None, :, :]).all(axis=2).any(axis=0).mean())


def _named(directions: Sequence[Direction], values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for (name, _), value in zip(directions, values)}


def _names(directions: Sequence[Direction]) -> str:
    return ", ".join(name for name, _ in directions)
