"""The objectives that a job can name, and what is known of them before anything is evaluated."""

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from math import inf, isinf
from typing import TYPE_CHECKING, Any, NamedTuple

from search_spaces import Space
from service import catalogue
from service.catalogue import OBJECTIVES, TASKS, suggestion
from service.job.job import Job
from service.job.validation import show
from service.tables import COST

if TYPE_CHECKING:
    from nas.objectives import Bound, Computed
    from supernets.tasks.task import Task

QUALITY = "quality"
"""Stands in a job for the metric of its task."""
_NO_SUBCLASS = "must be a subclass of nas.Objective, whose attributes say what it is"


class Known(NamedTuple):
    """One objective before the search.

    Attributes:
        role: `quality` or `cost`.
        unit: Unit of its values.
        low: The least value that any architecture of the space can have, and
        high: the largest.
        maximise: Whether more is better; None where that is not known yet.
        computed: The objective itself where it needs no network, so that architectures within several limits can be
            looked for.
    """

    role: str
    unit: str
    low: float = -inf
    high: float = inf
    maximise: bool | None = None
    computed: "Computed | None" = None

    def meets(self, bound: "Bound") -> bool:
        """Return whether any value can lie within the bound."""
        return (bound.high is None or bound.high >= self.low) and (bound.low is None or bound.low <= self.high)

    def reach(self, name: str, space: Space | None) -> str:
        """Return the possible values in words."""
        if self.computed is not None and space is not None and not isinf(self.high):
            return f"{name} of {space.name} reach from {self.low:,.0f} to {self.high:,.0f}"
        if isinf(self.high):
            return f"{name} is more than {self.low:.0f} {self.unit}".rstrip()
        return f"{name} is from {self.low:g} to {self.high:g} {self.unit}".rstrip()


def known_objectives(task: "Task | None", space: Space | None) -> dict[str, Known]:
    """Return the built-in objectives: those listed, the metric of the task, and the costs of the space.

    Args:
        task: Task of the networks; where it is not known, it may be any listed task.
        space: Space that is searched, where it is known.
    """
    found = {
        name: Known(one.role, one.unit, one.low, maximise=one.role == "quality")
        for name, one in OBJECTIVES.items()
        if space is None or one.target != COST
    }
    for metric in [task.metric] if task is not None else [catalogue.resolve("task", name).metric for name in TASKS]:
        quality = Known("quality", metric.unit, metric.low, metric.high, metric.maximise)
        found |= {metric.name: quality, QUALITY: quality}
    if space is not None:
        from nas.objectives import costs_of

        found |= {c.name: Known("cost", c.unit, c.low, c.high, False, computed=c) for c in costs_of(space)}
    return found


def own_objective(name: str, task: "Task | None", space: Space | None) -> Known | None:
    """Return what is known of a user's own objective; None where this needs networks.

    An objective that takes only the task and the space is made; the class of any other one is asked.

    Raises:
        ValueError: It cannot be imported or made, or is not an objective.
    """
    from nas.objectives import Objective
    from nas.objectives.objective import is_computed

    target = catalogue.resolve("objective", name)
    offered = {part: value for part, value in (("task", task), ("space", space)) if value is not None}
    needed = [argument for argument, one in catalogue.parameters("objective", name).items() if one.required]
    if all(argument in offered for argument in needed):
        made = catalogue.make("objective", name, offered=offered)
        if Objective not in type(made).__mro__:
            raise ValueError(f"{name!r} {_NO_SUBCLASS}")
        computed = made if is_computed(made) else None
        try:
            role, unit, _ = made.role, made.unit, made.maximise
        except AttributeError as error:
            raise ValueError(f"{name!r}: {error}; an objective says its name, unit, maximise and role") from error
        if role not in ("quality", "cost"):
            raise ValueError(f"{name!r}: its role must be quality or cost, got {role!r}")
        return Known(role, unit, made.low, made.high, made.maximise, computed=computed)
    if not isinstance(target, type):
        return None
    if Objective not in target.__mro__:
        raise ValueError(f"{name!r} {_NO_SUBCLASS}")
    said: type[Objective] = target
    return Known("", "", _number(said.low, -inf), _number(said.high, inf))


def _number(value: Any, otherwise: float) -> float:
    """Return an attribute of a class, where it is a number and not made by each object."""
    return float(value) if isinstance(value, int | float) else otherwise


def mistakes(
    job: Job, task: "Task | None", space: Space | None, warn: Callable[[str], None] = lambda line: None
) -> Iterator[str]:
    """Yield what is wrong with the objectives and the limits on them, one a line, and warn of idle limits."""
    known = known_objectives(task, space)
    for section, names in (("objectives", job.search.objectives), ("constraints", job.search.constraints)):
        for name in names:
            if ":" in name and name not in known:
                try:
                    own_one = own_objective(name, task, space)
                except (ValueError, TypeError) as error:
                    yield f"search.{section}: {error}"
                    own_one = None
                known[name] = own_one or Known("", "")
        if task is not None and QUALITY in names and task.metric.name in names:
            yield f"search.{section}: {QUALITY} and {task.metric.name} are the same; name one of them"
    if task is not None and task.metric.name in {*OBJECTIVES, *(space.cost_names if space is not None else ())}:
        yield f"task: its metric is called {task.metric.name}, as an objective of another kind is; call it otherwise"
    own = [name for name in (job.space.name, job.task.name or job.data.source) if ":" in name]
    everything = (task is not None and space is not None) or not own
    for name in job.search.objectives:
        is_proxy = name in catalogue.PROXIES and name not in OBJECTIVES
        if everything and not is_proxy and _is_unknown(name, known, space):
            yield f"search.objectives: unknown objective {name!r}{suggestion(name, known)}, or package.module:object"
    if job.proxies.filter == "auto" and task is not None and not {task.metric.name, QUALITY} & {*job.search.objectives}:
        quality = f"{task.metric.name}, the quality"
        yield f"proxies.filter: auto learns from {quality}, which must be among search.objectives"
    yield from _limit_mistakes(job, known, space, warn, everything=everything)


def _is_unknown(name: str, known: Collection[str], space: Space | None) -> bool:
    """Return whether no objective has this name; a space that has mistakes of its own may have further costs."""
    return name not in known and (space is not None or bool(get_close_matches(name, known, n=1)))


def _limit_mistakes(
    job: Job, known: Mapping[str, Known], space: Space | None, warn: Callable[[str], None], *, everything: bool
) -> Iterator[str]:
    """Yield a line for each limit on what is no objective, and for each that nothing can keep."""
    computed: dict[str, Bound] = {}
    names = dict.fromkeys([*known, *job.search.objectives])
    for name, text in job.search.constraints.items():
        path = f"search.constraints.{name}"
        if everything and _is_unknown(name, names, space):
            yield f"{path}: unknown objective {name!r} (got {show(text)}){suggestion(name, names)}"
            continue
        try:
            bound = _bound(text, known.get(name))
        except ValueError as error:
            yield f"{path}: {error}"
            continue
        if name in known and not known[name].meets(bound):
            yield f"{path}: {show(text)} is impossible; {known[name].reach(name, space)}"
            continue
        if name in known and (doubt := _doubt(text, bound, known[name], name, space)):
            warn(f"{path}: {doubt}")
        if name in known and known[name].computed is not None:
            computed[name] = bound
    if space is not None and (len(computed) > 1 or not {*space.unordered}.isdisjoint(computed)):
        yield from _contradiction(job, space, known, computed)


def _bound(text: str | float, known: Known | None) -> "Bound":
    """Return a limit; of one on what is known only once there are networks, as much as can be read without it."""
    from nas.objectives import Bound, parse_bound
    from nas.objectives.limits import check_form

    if known is None or known.maximise is None:
        check_form(text)
        try:
            return parse_bound(text)
        except ValueError:  # a number alone, or a unit: read when its objective is made
            return Bound()
    return parse_bound(text, unit=known.unit, maximise=known.maximise)


def _doubt(text: str | float, bound: "Bound", known: Known, name: str, space: Space | None) -> str:
    """Return why a limit is probably not what is meant; empty where nothing speaks against it."""
    from nas.objectives.limits import looks_like_a_share

    if looks_like_a_share(text, known.unit):
        operator, value = ("<=", bound.high) if bound.low is None else (">=", bound.low)
        assert value is not None
        return f"{show(text)} means {value:g} %; if a share is meant, write '{operator} {100 * value:g} %'"
    held = (bound.low is None or bound.low <= known.low) and (bound.high is None or bound.high >= known.high)
    if held and (bound.low is not None or bound.high is not None):
        return f"{show(text)} says nothing, every network keeps it; {known.reach(name, space)}"
    return ""


def _contradiction(job: Job, space: Space, known: Mapping[str, Known], bounds: "Mapping[str, Bound]") -> Iterator[str]:
    """Yield a line for limits that can each be kept, but not together."""
    from nas.search.reachable import contradiction

    limited = [(objective, bound) for name, bound in bounds.items() if (objective := known[name].computed) is not None]
    found = contradiction(space, limited)
    if found is not None:
        place, best = found
        name = list(bounds)[place]
        others = " and ".join(f"{n} {job.search.constraints[n]}" for n in bounds if n != name)
        text, beside = job.search.constraints[name], f" with {others}" if others else ""
        yield f"search.constraints.{name}: {show(text)} is impossible{beside}; the best reachable is {best:,.0f}"
