"""What a job searches for: its objectives, each made when it is named, and their limits."""

from collections.abc import Sequence
from dataclasses import dataclass

from nas.hardware.latency_table import LatencyTable
from nas.objectives import Accuracy, Computed, Latency, Objective, PredictedLatency, Roofline, costs_of, parse_bound
from nas.search.problem import Problem
from nas.subnets import Subnets
from search_spaces import Space
from service import catalogue
from service.job.job import Job
from service.job.objectives import QUALITY
from service.run.batches import EvaluationBatches
from service.run.proxies import SearchProxies


@dataclass(frozen=True, kw_only=True)
class ObjectiveParts:
    """What objectives are made of.

    Args:
        space: What is searched.
        subnets: Architecture -> calibrated network.
        batches: What networks are judged on.
        latency: Measures latency.
        table: What predicts latency instead, if anything does.
        proxies: Scores without training.
    """

    space: Space
    subnets: Subnets
    batches: EvaluationBatches
    latency: Latency
    table: LatencyTable | None
    proxies: SearchProxies


def build_problem(job: Job, parts: ObjectiveParts) -> Problem:
    """Return the objectives and limits of a job."""
    search_config = job.search
    names = [*search_config.objectives, *(n for n in search_config.constraints if n not in search_config.objectives)]
    predicted = [PredictedLatency(parts.table)] if parts.table and "latency_ms" in names else []
    exact = _exact(job, parts.space, names)
    computed = {objective.name for objective in (*exact, *predicted)}
    measured = {name: _objective(parts, name) for name in names if name not in computed}
    called = {name: measured[name].name if name in measured else name for name in names}
    return Problem(
        objectives=[*measured.values(), *predicted, *exact],
        optimised=[called[name] for name in search_config.objectives],
        bounds={called[name]: parse_bound(text) for name, text in search_config.constraints.items()},
        noted=parts.proxies.noted() if job.proxies.names else [],
    )


def _exact(job: Job, space: Space, names: Sequence[str]) -> list[Computed]:
    """What is computed of every candidate: its costs and, where asked for, its time on a device on paper."""
    exact: list[Computed] = [*costs_of(space)]
    analytic = job.latency.analytic
    if "roofline_ms" in names and analytic is not None:
        exact.append(Roofline(space, analytic.resolve(), job.latency.batch_size))
    return exact


def _objective(parts: ObjectiveParts, name: str) -> Objective:
    if name in ("accuracy", QUALITY):
        return Accuracy(parts.subnets, parts.batches.validation)
    if name == "latency_ms":
        return parts.latency
    if name in catalogue.PROXIES:
        return parts.proxies.objective(name)
    return catalogue.resolve("objective", name)(parts.subnets)
