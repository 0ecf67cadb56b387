"""The search problem of a job: its objectives, each made when it is named, and their limits."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from nas.hardware.latency_table import LatencyTable
from nas.objectives import Bound, EndToEnd, Latency, Objective, PredictedLatency, Roofline, costs_of, parse_bound
from nas.objectives.hat_latency import HatLatency
from nas.search.problem import Problem
from search_spaces import Architecture, Space
from service import catalogue
from service.errors import InvalidJob
from service.job.job import Job
from service.job.latency import LatencySection
from service.job.objectives import QUALITY
from service.job.published_latency import published_latency
from service.run.proxies import SearchProxies


def build_problem(job: Job, offered: Mapping[str, Any], proxies: SearchProxies) -> Problem:
    """Return the objectives and limits of a job.

    Args:
        job: Job that names them.
        offered: Parts that objectives are made of, by the names of their arguments; `space` and `task` are among them.
        proxies: Scores without training.
    """
    config, costs = job.search, costs_of(offered["space"])
    counted = {cost.name for cost in costs}
    names = dict.fromkeys([*config.objectives, *config.constraints])
    made: dict[str, Objective] = {
        name: proxies.objective(name) if name in catalogue.PROXIES else _objective(name, offered)
        for name in names
        if name not in counted
    }
    called = {name: made[name].name if name in made else name for name in names}
    objectives = {objective.name: objective for objective in (*made.values(), *costs)}
    return Problem(
        objectives=list(objectives.values()),
        optimised=[called[name] for name in config.objectives],
        bounds={
            called[name]: _bound(name, text, objectives[called[name]]) for name, text in config.constraints.items()
        },
        noted=proxies.noted() if job.proxies.names else [],
    )


def _bound(name: str, text: str | float, objective: Objective) -> Bound:
    """Return a limit in the unit and the direction of its objective.

    Raises:
        InvalidJob: It does not have that unit.
    """
    try:
        return parse_bound(text, unit=objective.unit, maximise=objective.maximise)
    except ValueError as error:
        raise InvalidJob([f"search.constraints.{name}: {error}"]) from error


def _objective(name: str, offered: Mapping[str, Any]) -> Objective:
    """Return the objective of a name; the metric of the task stands for its quality."""
    if name == offered["task"].metric.name:
        name = QUALITY
    if name in catalogue.OBJECTIVES:
        return catalogue.make("objective", name, offered=offered)
    try:
        made = catalogue.make("objective", name, offered=offered)
    except (ValueError, TypeError) as error:
        raise InvalidJob([f"search.objectives: {name}: {error}"]) from error
    if Objective not in type(made).__mro__:
        raise InvalidJob([f"search.objectives: {name} gave {type(made).__name__}, no subclass of nas.Objective"])
    return made


def latency_objective(
    *,
    timed_subnet: Callable[[Architecture], nn.Module],
    timed_space: Space,
    latency: LatencySection,
    alone: Callable[[], AbstractContextManager[None]],
    table: LatencyTable | None,
) -> Latency | PredictedLatency:
    """Return latency as a search sees it: predicted where a job has a table, otherwise measured.

    Args:
        timed_subnet: Returns the network of an architecture, for timing only.
        timed_space: Space that gives example inputs.
        latency: Settings of the measurement.
        alone: Lock that is held while something is measured.
        table: Table that predicts it.
    """
    if table is not None:
        return PredictedLatency(table)
    return Latency(timed_subnet, timed_space.example, latency, alone=alone)


def published_objective(*, space: Space, latency: LatencySection) -> HatLatency:
    """Return what published latencies say of networks with the same features.

    Args:
        space: Space that is searched.
        latency: Section that names the table.

    Raises:
        InvalidJob: It names none, or the table has no such networks.
    """
    return published_latency(latency.published, space)


def roofline_objective(*, timed_space: Space, latency: LatencySection) -> Roofline:
    """Return the time that the analytic device of a job would take.

    Args:
        timed_space: Space that is searched; its blocks do what is timed.
        latency: Section that names the device.

    Raises:
        ValueError: It names no device.
    """
    if latency.analytic is None:
        raise ValueError("latency.analytic: missing; it names the device that roofline_ms is computed for")
    return Roofline(timed_space, latency.analytic.resolve(), latency.batch_size)


def end_to_end_objective(
    *,
    timed_subnet: Callable[[Architecture], nn.Module],
    space: Space,
    latency: LatencySection,
    alone: Callable[[], AbstractContextManager[None]],
) -> EndToEnd:
    """Return the time over device, link and server.

    Args:
        timed_subnet: Returns the network of an architecture, for timing only.
        space: Space that counts what is sent.
        latency: Section that says link and server.
        alone: Lock that is held while something is measured.

    Raises:
        ValueError: It names no link.
    """
    if latency.link is None:
        raise ValueError("latency.link: missing; it says how fast the link between device and server is")
    return EndToEnd(timed_subnet, space, latency.link, latency, server=latency.server, alone=alone)
