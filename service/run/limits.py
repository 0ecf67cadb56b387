"""A check of limits: those that cannot be kept are found before anything is trained."""

from pathlib import Path
from typing import Any

import torch

from nas.hardware import DeviceUnreachable, Measurement, MeasurementFailed, Meter
from nas.objectives import Latency, parse_bound
from search_spaces import Space
from service.errors import InvalidJob
from service.job import latency_table
from service.job.job import Job
from service.job.published_latency import PUBLISHED, published_latency
from service.run.profiling import measure_architectures
from service.run.stages.outputs import FRONT, JOURNAL

_ROUNDS_TO_REFUSE = 4  # one disturbed moment must not make a limit count as impossible


def check_limits(job: Job, folder: Path, space: Space, device: torch.device) -> None:
    """Refuse a latency limit that even the smallest architecture breaks, and a machine that cannot measure.

    Args:
        job: Job that has the limits.
        folder: Folder where it is run; what lies there already was allowed before.
        space: Space that is searched.
        device: Device where latency is measured.

    Raises:
        InvalidJob: A limit cannot be kept, or the machine is out of reach.
    """
    if job.latency.is_remote and not (folder / FRONT).exists():
        _check_other_machine(job, space, device)
    _check_published(job, space)
    text, high = _limit(job, Latency.name)
    if high is None or (folder / JOURNAL).exists():
        return
    if job.latency.table:
        if (least := latency_table.least_limit(latency_table.read_table(job, space))) > high:
            why = f"by latency.table no network is sure to take less than {least:.3g} ms"
            raise InvalidJob([f"search.constraints.{Latency.name}: {text} can't be met: {why}"])
        return
    for rounds in (1, _ROUNDS_TO_REFUSE):
        smallest = measure_architectures(space, [space.smallest()], job, device, rounds=rounds)
        if not (why := _too_slow(smallest[0], high)):
            return
    place = "there" if job.latency.is_remote else "on this machine"
    smallest_is = f"the smallest architecture of {space.name if space.origin is None else space.origin.model}"
    raise InvalidJob([f"search.constraints.{Latency.name}: {text} can't be met: {smallest_is} {why} {place}"])


def _limit(job: Job, name: str) -> tuple[Any, float | None]:
    """Return the limit on a latency as the job writes it, and the most that it allows in ms; None where it has none."""
    text = job.search.constraints.get(name)
    return text, None if text is None else parse_bound(text, unit=Latency.unit, maximise=False).high


def _check_published(job: Job, space: Space) -> None:
    """Refuse a limit on published latencies that no network keeps."""
    text, high = _limit(job, PUBLISHED)
    if high is None:
        return
    predicted = published_latency(job.latency.published, space)
    if (least := latency_table.least_of(space, predicted.estimate_encodings)) > high:
        why = f"by latency.published no network is sure to take less than {least:.3g} ms"
        raise InvalidJob([f"search.constraints.{PUBLISHED}: {text} can't be met: {why}"])


def _check_other_machine(job: Job, space: Space, device: torch.device) -> None:
    try:
        with Meter(job.latency) as meter:
            meter.conditions(device, space.example())
    except DeviceUnreachable as error:
        raise InvalidJob([f"latency.device: {error}"]) from error


def _too_slow(measured: Measurement | MeasurementFailed, limit_ms: float) -> str:
    """Return how an architecture surely breaks a limit; empty where it may keep it."""
    if isinstance(measured, MeasurementFailed):
        return f"has no latency ({measured})"
    latency = measured.latency
    return f"takes {latency.value:.3g} ms" if latency.low is not None and latency.low > limit_ms else ""
