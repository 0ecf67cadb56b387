"""Latency and exact cost of architectures of a job, without training anything."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.hardware import DeviceUnreachable, Measurement, MeasurementFailed, Meter
from search_spaces import Architecture, Space
from search_spaces.decoding_space import as_timed
from search_spaces.simulated import measurable, simulation_of
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.device import torch_device
from service.job.job import Job
from service.job.kept_data import job_data
from service.job.observer import Observer
from service.job.preparation import front_members


def profile(job: Job, folder: Path, observer: Observer, *, samples: int = 10) -> list[dict[str, Any]]:
    """Measure the smallest, the largest and random architectures of the space of a job.

    Args:
        job: Job whose space is meant.
        folder: Folder of the job, where it has one.
        observer: Receives the progress.
        samples: Number of random architectures.
    """
    space = build_space(job, job_data(job, folder).looked_at.facts)
    return profile_samples(space, job, observer, samples=samples)


def profile_samples(space: Space, job: Job, observer: Observer, *, samples: int) -> list[dict[str, Any]]:
    """Measure the same of any space, under the settings of a job."""
    generator = np.random.default_rng(job.seed)
    named = {"smallest": space.smallest(), "largest": space.largest()}
    named |= {f"random {i + 1}": space.sample(generator) for i in range(samples)}
    observer({"event": "measure", "done": 0, "total": len(named)})
    measured = measure_architectures(space, list(named.values()), job, torch_device(job.device))
    observer({"event": "measure", "done": len(named), "total": len(named)})
    return [_profile_row(name, a, space, m) for (name, a), m in zip(named.items(), measured)]


def profile_front(folder: Path, job: Job, observer: Observer) -> list[dict[str, Any]]:
    """Measure the front members of a finished job, now."""
    members = front_members(folder)
    space = build_space(job, job_data(job, folder).looked_at.facts)
    architectures = [space.architecture(member["architecture"]) for member in members]
    observer({"event": "measure", "done": 0, "total": len(members)})
    measured = measure_architectures(space, architectures, job, torch_device(job.device))
    observer({"event": "measure", "done": len(members), "total": len(members)})
    return [_profile_row(member["key"], a, space, m) for member, a, m in zip(members, architectures, measured)]


def measure_architectures(
    space: Space, architectures: Sequence[Architecture], job: Job, device: torch.device, *, rounds: int = 1
) -> list[Measurement | MeasurementFailed]:
    """Measure architectures with fresh weights: no training is needed for that.

    Raises:
        InvalidJob: The measuring machine cannot be reached.
    """
    timed = as_timed(space, job.latency.decode)
    fresh = [measurable(space.simulated, timed.subnet(architecture)) for architecture in architectures]
    subnets = [network.to(device).to(memory_format=torch.channels_last) for network in fresh]
    examples = [timed.example(architecture) for architecture in architectures]
    try:
        with Meter(job.latency) as meter:
            return meter.measure(subnets, examples, rounds=rounds)
    except DeviceUnreachable as error:
        raise InvalidJob([f"latency.device: {error}"]) from error


def _profile_row(
    name: str, architecture: Architecture, space: Space, measured: Measurement | MeasurementFailed
) -> dict[str, Any]:
    costs = space.costs([architecture])
    described = {cost: {"value": column[0].item(), "unit": costs.units[cost]} for cost, column in costs.items()}
    row = {"name": name, "key": architecture.key, "costs": described}
    if isinstance(measured, MeasurementFailed):
        return {**row, "failed": str(measured)}
    return {
        **row,
        "milliseconds": measured.latency.value,
        "interval": [measured.latency.low, measured.latency.high],
        "throughput_per_s": measured.throughput_per_s,
        "memory_mb": measured.memory_mb,
        "energy_mj": measured.energy_mj,
        "conditions": {**measured.conditions.to_dict(), **simulation_of(space.simulated)},
    }
