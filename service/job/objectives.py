"""What a job can name as an objective, and what is known of it before anything is evaluated."""

from collections.abc import Iterator, Mapping
from math import inf, isinf
from typing import TYPE_CHECKING, NamedTuple

from search_spaces import Space
from service import catalogue
from service.catalogue import OBJECTIVES, TASKS, suggestion
from service.job.job import Job
from service.job.validation import show

if TYPE_CHECKING:
    from nas.objectives import Bound
    from supernets.tasks.task import Task

QUALITY = "quality"
"""Stands in a job for the metric of its task."""


class Known(NamedTuple):
    """One objective before the search.

    Attributes:
        role: `quality` or `cost`.
        unit: Of its values.
        low: The least value that any architecture of the space can have, and
        high: the largest.
        exact: Whether the space counts it, so that what limits on several leave can be looked for.
    """

    role: str
    unit: str
    low: float = -inf
    high: float = inf
    exact: bool = False

    def meets(self, bound: "Bound") -> bool:
        """Return whether any value can lie within the bound."""
        return (bound.high is None or bound.high >= self.low) and (bound.low is None or bound.low <= self.high)

    def reach(self, name: str, space: Space | None) -> str:
        """Return the possible values in words."""
        if self.exact and space is not None:
            return f"{name} of {space.name} reach from {self.low:,.0f} to {self.high:,.0f}"
        if isinf(self.high):
            return f"{name} is more than {self.low:.0f} {self.unit}".rstrip()
        return f"{name} is from {self.low:g} to {self.high:g} {self.unit}".rstrip()


def known_objectives(task: "Task | None", space: Space | None) -> dict[str, Known]:
    """Return what can be named without writing it oneself: what is listed, the metric of the task, costs of the space.

    Args:
        task: What networks are trained for; where that is not known, it may be any listed task.
        space: What is searched, where that is known.
    """
    found = {name: Known(one.role, one.unit, one.low) for name, one in OBJECTIVES.items()}
    for metric in [task.metric] if task is not None else [catalogue.resolve("task", name).metric for name in TASKS]:
        quality = Known("quality", metric.unit, metric.low, metric.high)
        found |= {metric.name: quality, QUALITY: quality}
    if space is not None:
        from nas.objectives import costs_of

        found |= {cost.name: Known("cost", cost.unit, cost.low, cost.high, exact=True) for cost in costs_of(space)}
    return found


def mistakes(job: Job, task: "Task | None", space: Space | None) -> Iterator[str]:
    """Yield what is wrong with the objectives and the limits on them, one line each."""
    known = known_objectives(task, space)
    own = [name for name in (job.space.name, job.task.name or job.data.source) if ":" in name]
    everything = (task is not None and space is not None) or not own
    for name in job.search.objectives:
        if ":" in name:
            try:
                catalogue.check("objective", name)
            except ValueError as error:
                yield f"search.objectives: {error}"
        elif name not in known and name not in catalogue.PROXIES and everything:
            yield f"search.objectives: {name!r} is no objective{suggestion(name, known)}, or package.module:object"
    if job.proxies.filter == "auto" and task is not None:
        names = [name for name in job.search.objectives if name in known and known[name].role == "quality"]
        if not names:
            quality = f"{task.metric.name}, the quality"
            yield f"proxies.filter: auto learns from {quality}, which must be among search.objectives"
    yield from _limit_mistakes(job, known, space, everything=everything)


def _limit_mistakes(job: Job, known: Mapping[str, Known], space: Space | None, *, everything: bool) -> Iterator[str]:
    """Yield a line for each limit on what is no objective, and for each that nothing can keep."""
    from nas.objectives import parse_bound

    exact: dict[str, Bound] = {}
    names = dict.fromkeys([*known, *job.search.objectives])
    for name, text in job.search.constraints.items():
        path = f"search.constraints.{name}"
        if name not in names and everything:
            yield f"{path}: {name!r} is no objective (got {show(text)}){suggestion(name, names)}"
            continue
        try:
            bound = parse_bound(text)
        except ValueError as error:
            yield f"{path}: {error}"
            continue
        if name in known and not known[name].meets(bound):
            yield f"{path}: {show(text)} is impossible; {known[name].reach(name, space)}"
        elif name in known and known[name].exact:
            exact[name] = bound
    if space is not None and len(exact) > 1:
        yield from _contradiction(job, space, exact)


def _contradiction(job: Job, space: Space, bounds: "Mapping[str, Bound]") -> Iterator[str]:
    """Yield a line for limits that can each be kept, but not together."""
    from nas.objectives import costs_of
    from nas.search.reachable import contradiction

    found = contradiction(space, costs_of(space), bounds)
    if found is not None:
        name, best = found
        others = " and ".join(f"{n} {job.search.constraints[n]}" for n in bounds if n != name)
        text = job.search.constraints[name]
        yield f"search.constraints.{name}: {show(text)} is impossible with {others}; the best reachable is {best:,.0f}"
