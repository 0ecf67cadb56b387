"""A short measurement on the data and the machine of a job: training steps, evaluations, latencies."""

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from nas.data import Data
from nas.hardware import MeasurementFailed
from search_spaces import Architecture
from service.errors import InvalidJob
from service.job.building import build_space, data_source
from service.job.device import torch_device
from service.job.job import Job
from service.run.context import JobContext
from service.run.events import Events
from service.run.profiling import measure_architectures
from service.run.training import train_supernet
from service.starting.budget import Speed
from supernets import Processes
from supernets.estimate import Estimate

_WARM_STEPS, _STEPS, _NETWORKS = 3, 12, 4
_NEVER_S = 1e6


def read_data(job: Job) -> tuple[Data, float]:
    """Return the data of a job, and the seconds that reading took."""
    began = time.monotonic()
    return data_source(job.data).load(torch_device(job.device)), time.monotonic() - began


def latency_range(job: Job) -> tuple[Estimate, Estimate]:
    """Return the latencies of the smallest and the largest network of the space of a job.

    Raises:
        InvalidJob: One of them cannot be measured here.
    """
    space = build_space(job)
    measured = measure_architectures(space, [space.smallest(), space.largest()], job, torch_device(job.device))
    failed = [one for one in measured if isinstance(one, MeasurementFailed)]
    if failed:
        raise InvalidJob([f"--latency: {space.name} can't be measured here: {failed[0]}"])
    smallest, largest = (one.latency for one in measured if not isinstance(one, MeasurementFailed))
    return smallest, largest


def measured_speed(job: Job, data: Data, load_s: float) -> Speed:
    """Return how long the parts of a job take, by doing a little of each."""
    device = torch_device(job.device)
    epoch_steps = data.train.steps(job.train.batch_size)
    with TemporaryDirectory() as folder:
        silent = Events(Path(folder), job, lambda event: None, Processes())
        context = JobContext(Path(folder), job, device, silent, silent.processes)
        context.data = data
        warm = _train(context, _WARM_STEPS, epoch_steps)
        more = _train(context, _WARM_STEPS + _STEPS, epoch_steps)
        step_s = max(1e-4, (more - warm) / _STEPS)
        look_s = max(0.0, more - (_WARM_STEPS + _STEPS) * step_s)
        quality_s, latency_s = _evaluations(context)
    return Speed(
        load_s=load_s,
        step_s=step_s,
        look_s=look_s,
        quality_s=quality_s,
        latency_s=latency_s,
        epoch_steps=epoch_steps,
        test_share=len(data.test) / max(1, len(data.validation)),
    )


def _train(context: JobContext, steps: int, epoch_steps: int) -> float:
    """Train a fresh supernet for a number of steps, look at it at the end, and return the seconds."""
    config = replace(context.job.train, epochs=steps / epoch_steps, checkpoint_every_s=_NEVER_S)
    supernet = context.supernet
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        train_supernet(
            replace(context.job, train=config),
            supernet,
            context.batches,
            task=context.task,
            folder=Path(folder),
            events=lambda event: None,
            processes=context.processes,
        )
    return time.monotonic() - began


def _evaluations(context: JobContext) -> tuple[float, float]:
    """Return mean seconds of judging a network and of measuring its latency, after one to warm up."""
    generator = np.random.default_rng(0)
    networks = [context.space.sample(generator) for _ in range(_NETWORKS + 1)]
    quality = [_seconds(context, architecture, "quality") for architecture in networks][1:]
    latency = [_seconds(context, architecture, "cost") for architecture in networks][1:]
    return sum(quality) / _NETWORKS, sum(latency) / _NETWORKS


def _seconds(context: JobContext, architecture: Architecture, role: str) -> float:
    began = time.monotonic()
    with torch.no_grad():
        for objective in context.problem.measured:
            if objective.role == role:
                objective.evaluate(architecture)
    return time.monotonic() - began
