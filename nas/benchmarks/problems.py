"""Search problems with known answers: a published table, or predictors fitted to evaluations of one.

They compare searchers and choose no network for use, so columns of the test split are allowed here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import moocore
import numpy as np

from nas.benchmarks.goals import Goal, Limit
from nas.benchmarks.published_tables import Table
from nas.objectives import Bound, Cost, Objective
from nas.objectives.looked_up import IN_TABLE, Column, InTable, PredictedColumn, TableSpace
from nas.predictors import Predictor
from nas.search.pareto import Direction
from nas.search.problem import Problem
from search_spaces import Space

_NADIR_MARGIN = 0.1
_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class BenchmarkProblem:
    """A problem on which searchers are compared.

    Attributes:
        name: Name in tables and figures.
        space: Space that they search.
        problem: Objectives and limits.
        reference: Point [K] of losses that hypervolumes are measured from.
        front: The true front [M, K] as losses, where it is known.
        rows: Architectures of the table that was read.
        notes: Lines that say what the problem is: coverage, reference, errors of predictors.
        looked_up: Arrays that its values are looked up in; problems of one name differ where these do.
    """

    name: str
    space: Space
    problem: Problem
    reference: np.ndarray
    front: np.ndarray | None
    rows: int
    notes: tuple[str, ...] = ()
    looked_up: tuple[np.ndarray, ...] = ()

    @property
    def directions(self) -> list[Direction]:
        return self.problem.directions

    @property
    def true_hypervolume(self) -> float | None:
        """Of the true front."""
        return None if self.front is None else float(moocore.hypervolume(self.front, ref=self.reference))

    @property
    def default_evaluations(self) -> int:
        """250, or 2 % of a table if that is fewer."""
        return 250 if self.front is None else max(2, min(250, self.rows // 50))


def tabular_problem(
    name: str, table: Table, goals: Sequence[Goal], limits: Sequence[Limit] = (), reference: str = "worst"
) -> BenchmarkProblem:
    """Return a search among the architectures of a table; others break a limit that is known beforehand.

    Args:
        name: Name of the problem.
        table: csv with a row for each architecture.
        goals: Objectives; those that the space has as exact costs are computed, others are columns.
        limits: Hard limits on objectives, other columns, or costs.
        reference: `worst` (values of the table), `nadir` (of the true front, and a tenth of its extent behind it), or
            values such as `accuracy=80,latency=30`.

    Raises:
        ValueError: A column is missing, an architecture has two values, no row keeps the limits (the message says what
            can be reached), or the reference is not of that form.
    """
    space = _space_of(table)
    objectives, values, columns = _tabular_objectives(table, space, [*goals, *_limited_only(goals, limits)])
    bounds = _bounds(limits, values)
    feasible = _feasible(values, bounds)
    losses = _losses(goals, values)
    front = losses[feasible][moocore.is_nondominated(losses[feasible], keep_weakly=False)]
    point = reference_point(reference, goals, losses, front)
    problem = Problem(
        objectives=objectives,
        optimised=[goal.name for goal in goals],
        bounds={IN_TABLE: Bound(low=1.0), **bounds},
    )
    notes = [_coverage(table.space, len(space.drawn)), *_limit_notes(bounds, feasible)]
    return BenchmarkProblem(
        name=name,
        space=space,
        problem=problem,
        reference=point,
        front=front,
        rows=len(space.drawn),
        notes=(*notes, _reference_note(goals, point, front)),
        looked_up=(space.drawn, *columns),
    )


def _space_of(table: Table) -> TableSpace:
    """Return the space of a table in which only its architectures are drawn."""
    own = {part.name: getattr(table.space, part.name) for part in fields(Space)}
    return TableSpace(**own, drawn=_encodings(table))


def _tabular_objectives(
    table: Table, space: TableSpace, goals: Sequence[Goal]
) -> tuple[list[Objective], dict[str, np.ndarray], list[np.ndarray]]:
    """Return what is evaluated, its values [N] by name, and those of them that are columns of the table."""
    objectives: list[Objective] = [InTable(space)]
    values: dict[str, np.ndarray] = {}
    columns: list[np.ndarray] = []
    for goal in goals:
        if goal.column in space.cost_names:
            objectives.append(Cost(space, goal.column))
            values[goal.name] = _costs(space, goal.column, space.drawn)
        else:
            values[goal.name] = _one_value_each(table, goal.column)
            columns.append(values[goal.name])
            objectives.append(Column(goal.name, goal.maximise, space, values[goal.name]))
    return objectives, values, columns


def oracle_problem(
    name: str,
    table: Table,
    goals: Sequence[Goal],
    limits: Sequence[Limit] = (),
    *,
    predictor: Callable[[], Predictor],
    reference: str = "worst",
) -> BenchmarkProblem:
    """Return a search of the whole space, where predictors fitted to columns of a table replace the columns.

    Args:
        name: Name of the problem.
        table: Real evaluations of some architectures.
        goals: Objectives; exact costs of the space are computed, others are columns of the table.
        limits: Hard limits on objectives.
        predictor: Makes the predictor that is fitted to each column.
        reference: As in `tabular_problem`; `worst` is that of the table, or of the space where it is computed.

    Raises:
        ValueError: A column is missing, a limit cannot be kept, or there are too few rows.
    """
    if strange := [limit.name for limit in limits if limit.name not in [goal.name for goal in goals]]:
        raise ValueError(f"limit: {strange[0]!r} is not an objective of the oracle")
    rows = len(table.row_of)
    notes = [f"fitted to {rows} architectures of {table.path.name}; the true front is not known"]
    found = {goal.name: _oracle_objective(table, goal, predictor) for goal in goals}
    values = {name: known for name, (_, known, _) in found.items()}
    notes += [note for _, _, said in found.values() for note in said]
    bounds = _bounds(limits, values)
    for limited, bound in bounds.items():
        _feasible({limited: values[limited]}, {limited: bound})
    losses = _losses(goals, values)
    seen = losses[2:][moocore.is_nondominated(losses[2:], keep_weakly=False)]
    point = reference_point(reference, goals, losses, seen)
    problem = Problem([objective for objective, _, _ in found.values()], [goal.name for goal in goals], bounds)
    notes.append(_reference_note(goals, point, None))
    return BenchmarkProblem(
        name=name, space=table.space, problem=problem, reference=point, front=None, rows=rows, notes=tuple(notes)
    )


def _oracle_objective(
    table: Table, goal: Goal, predictor: Callable[[], Predictor]
) -> tuple[Objective, np.ndarray, list[str]]:
    """Return what is evaluated, its least, its largest and all its values [2 + N] in the table, and notes."""
    space, encodings = table.space, _encodings(table)
    if goal.column in space.cost_names:
        extremes = np.stack([space.encode(space.smallest()), space.encode(space.largest())])
        values = _costs(space, goal.column, np.concatenate([extremes, encodings]))
        return Cost(space, goal.column), values, _disagreement(table, goal.column, values[2:])
    features, known = space.features(encodings), _one_value_each(table, goal.column)
    note = cross_validated(goal.column, features, known, predictor)
    objective = PredictedColumn(goal.name, goal.maximise, space, predictor().fit(features, known))
    return objective, np.concatenate([[known.min(), known.max()], known]), [note]


def reference_point(text: str, goals: Sequence[Goal], losses: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Return the reference [K] that a text asks for, as losses.

    Args:
        text: `worst`, `nadir`, or values by name of the objective.
        goals: Objectives.
        losses: Losses of everything [N, K].
        front: The best of them [M, K].

    Raises:
        ValueError: The text is not of that form, or no value of the front is better than the reference.
    """
    if text == "worst":
        return losses.max(axis=0)
    if text == "nadir":
        nadir, extent = front.max(axis=0), front.max(axis=0) - front.min(axis=0)
        return nadir + _NADIR_MARGIN * np.where(extent > 0, extent, losses.max(axis=0) - nadir)
    given = dict(part.partition("=")[::2] for part in text.replace(" ", "").split(","))
    names = [goal.name for goal in goals]
    try:
        numbers = [float(given.pop(name)) for name in names]
    except (KeyError, ValueError):
        given = {"": ""}
    if given:
        example = ",".join(f"{name}=NUMBER" for name in names)
        raise ValueError(f"reference must be worst, nadir or {example}, got {text!r}")
    point = np.array([-number if goal.maximise else number for number, goal in zip(numbers, goals)])
    if not (front < point).all(axis=1).any():
        raise ValueError(f"reference {text!r}: nothing on the front is better in every objective")
    return point


def cross_validated(
    column: str, features: np.ndarray, values: np.ndarray, predictor: Callable[[], Predictor], *, seed: int = 0
) -> str:
    """Return a line that says how well a predictor tells rows that it has not seen.

    Raises:
        ValueError: There are too few rows.
    """
    from scipy.stats import kendalltau  # takes long to import

    if len(values) < 2 * _FOLDS:
        raise ValueError(f"{len(values)} rows are too few to fit and test {column!r}; at least {2 * _FOLDS} are needed")
    fold = np.random.default_rng(seed).permutation(len(values)) % _FOLDS
    predicted = np.empty(len(values))
    for held in range(_FOLDS):
        out = fold == held
        predicted[out] = predictor().fit(features[~out], values[~out]).predict(features[out]).mean
    error, spread = float(np.sqrt(np.mean((predicted - values) ** 2))), float(values.std())
    tau = float(kendalltau(predicted, values).statistic)
    return (
        f"{column}: {_FOLDS}-fold cross-validated error {error:.4g} (standard deviation of the rows {spread:.4g}), "
        f"Kendall's tau {tau:.3f}"
    )


# ---- parts of them --------------------------------------------------------------------------------------------------


def _losses(goals: Sequence[Goal], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return values by name of the objective as numbers to minimise [N, K]."""
    return np.stack([(-1 if goal.maximise else 1) * values[goal.name] for goal in goals], axis=1)


def _limited_only(goals: Sequence[Goal], limits: Sequence[Limit]) -> list[Goal]:
    """Return what is limited and no objective."""
    names = dict.fromkeys(limit.name for limit in limits)
    return [Goal(name, name, False) for name in names if name not in {goal.name for goal in goals}]


def _costs(space: Space, name: str, encodings: np.ndarray) -> np.ndarray:
    """Return exact costs [N]."""
    return np.asarray(space.costs(encodings)[name], dtype=float)


def _encodings(table: Table) -> np.ndarray:
    """Return canonical encodings [N, D] of the architectures of a table, each once."""
    return np.stack([table.space.encode(architecture) for architecture in table.row_of])


def _one_value_each(table: Table, column: str) -> np.ndarray:
    """Return the numbers [N] of a column, one for each architecture; equal ones must have equal values."""
    values = table.numbers(column)
    for row, architecture in enumerate(table.architectures):
        first = table.row_of[architecture]
        if values[row] != values[first]:
            where = f"{table.path}, lines {table.lines[first]} and {table.lines[row]}"
            raise ValueError(f"{where}: one architecture has two values of {column}")
    return values[list(table.row_of.values())]


def _bounds(limits: Sequence[Limit], values: Mapping[str, np.ndarray]) -> dict[str, Bound]:
    bounds: dict[str, Bound] = {}
    for limit in limits:
        bound, old = limit.bound(values[limit.name]), bounds.get(limit.name, Bound())
        low = max((b for b in (old.low, bound.low) if b is not None), default=None)
        high = min((b for b in (old.high, bound.high) if b is not None), default=None)
        bounds[limit.name] = Bound(low, high)
        if low is not None and high is not None and low > high:
            raise ValueError(f"limit: no {limit.name} is both >= {low:g} and <= {high:g}")
    return bounds


def _feasible(values: Mapping[str, np.ndarray], bounds: Mapping[str, Bound]) -> np.ndarray:
    """Return which rows keep all limits; says what can be reached where none does."""
    feasible = np.ones(len(next(iter(values.values()))), dtype=bool)
    for i, (name, bound) in enumerate(bounds.items()):
        low = -np.inf if bound.low is None else bound.low
        high = np.inf if bound.high is None else bound.high
        kept = feasible & (values[name] >= low) & (values[name] <= high)
        if not kept.any():
            there = values[name][feasible]
            best = there.min() if bound.low is None or there.min() > high else there.max()
            limit = " and ".join(
                [f">= {low:g}"] * (bound.low is not None) + [f"<= {high:g}"] * (bound.high is not None)
            )
            others = " under the other limits" if i else ""
            raise ValueError(f"limit: no architecture has {name} {limit}; the best reachable{others} is {best:g}")
        feasible = kept
    return feasible


def _sides(bound: Bound) -> list[tuple[str, float]]:
    return [(operator, n) for operator, n in ((">=", bound.low), ("<=", bound.high)) if n is not None]


def _disagreement(table: Table, column: str, exact: np.ndarray) -> list[str]:
    """Return a line where a table's own column of a cost is not what the space computes."""
    if column not in table.cells:
        return []
    given = table.numbers(column)[list(table.row_of.values())]
    share = min(float(np.median(np.abs(given * unit / exact - 1))) for unit in (1.0, 1e6))  # many tables have millions
    return [f"{column} is computed; that of the table differs by {share:.1%} in the median"] if share > 0.01 else []


def _coverage(space: Space, rows: int) -> str:
    try:
        count = space.count()
    except ValueError:
        return f"{rows:,} architectures; others are never evaluated and count as infeasible"
    if rows >= count:
        return f"all {count:,} architectures of {space.name}"
    return (
        f"{rows:,} of {count:,} architectures of {space.name} ({rows / count:.1%}); "
        "others are never evaluated and count as infeasible"
    )


def _limit_notes(bounds: Mapping[str, Bound], feasible: np.ndarray) -> list[str]:
    if not bounds:
        return []
    texts = [f"{name} {operator} {number:g}" for name, bound in bounds.items() for operator, number in _sides(bound)]
    return [f"limits: {', '.join(texts)}; {feasible.mean():.1%} of the architectures keep them"]


def _reference_note(goals: Sequence[Goal], point: np.ndarray, front: np.ndarray | None) -> str:
    signs = [-1 if goal.maximise else 1 for goal in goals]
    at = ", ".join(f"{goal.name} {sign * value:g}" for goal, sign, value in zip(goals, signs, point))
    known = f"; the true front has {len(front)} points" if front is not None else ""
    return f"hypervolume from {at}{known}"
