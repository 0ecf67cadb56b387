"""Pareto fronts of several searches compared: hypervolume under one reference, coverage, the best within a budget.

*Paper*: coverage of two sets, C(A, B), is that of Zitzler and Thiele, "Multiobjective evolutionary algorithms: a
comparative case study and the strength Pareto approach" (1999): the share of B that some member of A equals or beats in
every objective. C(A, B) and C(B, A) are both needed; neither follows from the other.
*Differs*: a second number is the share that is covered beyond the measuring error: some member of A is then surely
better in every objective that has an error, and no worse in the others. All pairs are tested together by Holm's method.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import moocore
import numpy as np

from nas import intervals
from nas.search.pareto import Direction

Member = Mapping[str, Any]
"""A member of a front as front.json has it: `values` and `intervals` by the name of the objective."""
PValues = Callable[[str, Sequence[Member], str, Sequence[Member]], np.ndarray]
"""A front and N members of it, another one and M of it -> how likely differences as theirs are by chance [N, M]."""
_MARGIN = 0.1


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The part of one front that another one covers, as shares from 0 to 1.

    Attributes:
        share: Members that are equalled or beaten in every objective.
        beyond_error: Members that are surely beaten in every objective whose values have errors.
    """

    share: float
    beyond_error: float


@dataclass(frozen=True, kw_only=True)
class FrontComparison:
    """The result of a comparison.

    Attributes:
        directions: The objectives, and whether each is maximised.
        reference: Objective -> value at the bad corner of the box in which hypervolume is measured.
        ideal: Objective -> value at its good corner.
        hypervolume: Front -> share of the box that it dominates.
        outside: Front -> number of members that are not better than the reference in some objective, and do not count.
        coverage: (A, B) -> how much of B is covered by A.
        members: Front -> number of compared members; those that lack a value are left out.
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
    errors: Mapping[str, PValues] | None = None,
) -> FrontComparison:
    """Compare fronts under the same objectives.

    Args:
        fronts: Name -> members.
        directions: Objectives of the comparison, and whether each is maximised.
        reference: Objective -> worst value that counts; by default the worst value of all fronts, and a tenth of their
            range beyond it, so that the members at the ends count too.
        errors: Objective -> how certain differences in it are. Others are compared by the `intervals` of their members;
            values without one are exact.

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
        coverage={
            (a, b): _coverage((a, fronts[a]), (b, fronts[b]), directions, errors or {})
            for a in fronts
            for b in fronts
            if a != b
        },
        members={name: len(found) for name, found in points.items()},
    )


def losses_of(members: Sequence[Member], directions: Sequence[Direction]) -> np.ndarray:
    """Return values as numbers to minimise [N, K], of the members that have all of them."""
    rows = [
        [(-1 if maximise else 1) * _value(member, name) for name, maximise in directions]
        for member in _complete(members, directions)
    ]
    return np.array(rows, dtype=float).reshape(len(rows), len(directions))


def _complete(members: Sequence[Member], directions: Sequence[Direction]) -> list[Member]:
    """Return the members that have a value of every objective."""
    return [member for member in members if all(isfinite(_value(member, name)) for name, _ in directions)]


def best_within(members: Sequence[Member], quality: Direction, cost: str, budget: float) -> Member | None:
    """Return the best member that costs no more than the budget, the cheaper one of equals; None where none keeps it.

    A measured cost keeps a budget as it keeps a limit of the search: with the upper end of its interval.
    """
    name, maximise = quality
    sign = -1.0 if maximise else 1.0
    within = [m for m in members if upper_end(m, cost) <= budget and isfinite(_value(m, name))]
    return min(within, key=lambda m: (sign * _value(m, name), _value(m, cost)), default=None)


def round_budgets(fronts: Mapping[str, Sequence[Member]], cost: str, *, count: int = 6) -> list[float]:
    """Return budgets of two digits from the cost of the cheapest member to the dearest, evenly spaced in ratio."""
    costs = np.array([end for members in fronts.values() for m in members if isfinite(end := upper_end(m, cost))])
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


def ends_of(member: Member, name: str) -> tuple[float, float] | None:
    """Return the interval of a value of a member, None where it has none."""
    low, high = (member.get("intervals") or {}).get(name) or (None, None)
    return None if low is None or high is None or not isfinite(low) or not isfinite(high) else (low, high)


def upper_end(member: Member, name: str) -> float:
    """Return the largest value that a member may have within its interval; not a number where it has none."""
    value, ends = _value(member, name), ends_of(member, name)
    return value if ends is None else max(value, ends[1])


def _share(points: np.ndarray, best: np.ndarray, corner: np.ndarray) -> float:
    """Return the share of the box between the two corners."""
    if not len(points):
        return 0.0
    return float(moocore.hypervolume((points - best) / (corner - best), ref=np.ones(len(best))))


def _coverage(
    ours: tuple[str, Sequence[Member]],
    theirs: tuple[str, Sequence[Member]],
    directions: Sequence[Direction],
    errors: Mapping[str, PValues],
) -> Coverage:
    (a, first), (b, second) = ((name, _complete(members, directions)) for name, members in (ours, theirs))
    losses, others = losses_of(first, directions)[:, None], losses_of(second, directions)[None]
    covers, p_values = (losses <= others).all(axis=2), []
    for k, (name, _) in enumerate(directions):
        if name not in errors and not any(ends_of(member, name) for member in [*first, *second]):
            continue
        find = errors.get(name) or by_intervals(name)
        p_values.append(np.where(losses[..., k] < others[..., k], find(a, first, b, second), 1.0))
    sure = covers
    if p_values:
        sure = covers & intervals.differing(np.where(covers, np.max(p_values, axis=0), 1.0))
    return Coverage(share=float(covers.any(axis=0).mean()), beyond_error=float(sure.any(axis=0).mean()))


def by_intervals(name: str, *, exact_without: bool = True) -> PValues:
    """Return how certain differences in an objective are, judged by the intervals of its values alone.

    Args:
        name: Name of the objective.
        exact_without: Whether a value without an interval is exact; otherwise nothing is known about its error.
    """

    def ends(members: Sequence[Member]) -> list[intervals.Ends | None]:
        exact = ((value, value) if exact_without else None for value in (_value(member, name) for member in members))
        return [ends_of(member, name) or otherwise for member, otherwise in zip(members, exact)]

    def p_values(a: str, ours: Sequence[Member], b: str, theirs: Sequence[Member]) -> np.ndarray:
        values = np.array([_value(member, name) for member in [*ours, *theirs]])
        return intervals.independent_p_values(ends(ours), ends(theirs), values)

    return p_values


def _named(directions: Sequence[Direction], values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for (name, _), value in zip(directions, values)}


def _names(directions: Sequence[Direction]) -> str:
    return ", ".join(name for name, _ in directions)
