"""Training of the supernet of a job."""

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces.errors import FieldError
from search_spaces.weights.found import FoundWeights
from service.errors import InvalidJob
from service.job import samplers, splits
from service.job.found_weights import taken
from service.job.job import Job
from service.job.latency_table import read_table
from service.job.observer import Observer
from service.job.tickets import supernet_file
from service.run.batches import EvaluationBatches
from service.run.teaching import named_teacher
from supernets import Processes, Supernet, Task, phases, take_ticket, train, train_few_shot
from supernets.calibration import calibrated_subnet
from supernets.device import judging
from supernets.estimate import checked
from supernets.experts import experts_of, experts_told
from supernets.training.checkpoint import finished_training, has_begun
from supernets.training.relaxation_config import LATENCY

_CALIBRATION = 1000  # training examples that set the batch norms for a look at the supernet during training


def train_supernet(
    job: Job,
    supernet: Supernet,
    batches: EvaluationBatches,
    *,
    task: Task,
    folder: Path,
    events: Callable[[dict[str, Any]], None],
    processes: Processes,
) -> Supernet:
    """Train a supernet as a job says, with splits on the way where it asks for them; return the trained one.

    Args:
        job: Job that says how.
        supernet: Supernet with fresh weights; given ones of its space replace them where the training only begins.
        batches: Batches of the data.
        task: Task that it is trained for.
        folder: Folder for checkpoints; an interrupted training continues from them.
        events: Receives the events of the training.
        processes: This process among those that train together.

    Raises:
        InvalidJob: The budget does not allow the splits, the examples have no classes to balance, or the given weights
            cannot be had or are of another network.
    """
    data, config = batches.load().train, job.train
    _begin(supernet, folder, events, processes)
    if config.tickets is not None and config.tickets.start is not None:
        _start(supernet, config.tickets.start, folder, fresh=config.tickets.fresh, processes=processes)
    common: dict[str, Any] = {
        "task": task,
        "seed": job.seed,
        "folder": folder,
        "observer": partial(_told, events, task),
        "validate": partial(_validation, task.quick(), batches),
        "processes": processes,
    }
    if config.relaxation is not None and config.relaxation.cost == LATENCY:
        common["blocks_ms"] = np.array([one.value for one in read_table(job, supernet.space).blocks_ms])
    try:
        if config.split is None:
            if config.teacher is not None:
                common["teacher"] = named_teacher(
                    config.teacher, config.teacher_checkpoint, supernet=supernet, batches=batches
                )
            return train(supernet, phases(supernet.space, config, samplers.maker(config)), data, config, **common)
        _check_budget(job, supernet, data.steps(config.batch_size))
        return train_few_shot(supernet, splits.part_phases(config), data, config, config.split, **common)
    except FieldError as error:
        raise InvalidJob([f"train.{error.field}: {error.text}"]) from error


def _begin(supernet: Supernet, folder: Path, events: Observer, processes: Processes) -> None:
    """Put the weights that the space was given, if any, into a supernet whose training does not go on; tell of them."""
    weights, experts = supernet.space.weights, experts_of(supernet.space)
    if (weights is None and experts is None) or processes.first_says(has_begun(folder)):
        return
    lines = []
    if weights is not None:
        taken(weights, supernet.network)
    if isinstance(weights, FoundWeights):
        lines.append(f"weights: {weights.describe()}")
    if experts is not None:
        lines.append(f"supernet: {experts_told(supernet.network)}")
    if lines:
        events({"event": "space", "time": time.time(), "lines": lines})


def _start(supernet: Supernet, start: str, folder: Path, *, fresh: bool, processes: Processes) -> None:
    """Put the ticket of another job into a supernet whose training does not go on."""
    if processes.first_says(has_begun(folder)):
        return
    try:
        take_ticket(supernet, supernet_file(start), fresh=fresh)
    except (ValueError, OSError) as error:
        raise InvalidJob([f"train.tickets.start: {error}"]) from error


def take_parts(supernet: Supernet, folders: Mapping[str, str]) -> None:
    """Put the weights of trained supernets into the parts of a supernet of a joined space.

    Args:
        supernet: Supernet of the joined space.
        folders: Name of a part -> job folder of its supernet.

    Raises:
        InvalidFile: A supernet is of another space.
    """
    parts = supernet.network.get_submodule("parts")
    for name, folder in folders.items():
        Supernet(supernet.space.parts[name], parts.get_submodule(f"{name}.network")).load(supernet_file(folder))


def adapted_supernet(supernet: Supernet, folder: Path) -> Supernet | None:
    """Return a supernet as it was when its largest network alone had been trained, before others were.

    Args:
        supernet: The trained one.
        folder: Folder of its finished training.

    Returns:
        None where the training had no such part, or nothing followed it.
    """
    state = finished_training(folder, next(supernet.parameters()).device)["state"]
    if supernet.own_statistics is not None or state["teacher"] is None:
        return None
    adapted = deepcopy(supernet)
    adapted.network.load_state_dict(state["teacher"])
    adapted.own_statistics = adapted.space.largest()
    return adapted


def _check_budget(job: Job, supernet: Supernet, steps: int) -> None:
    """Refuse a budget that does not allow the splits."""
    try:
        splits.budget(job.train, supernet.space, steps)
    except ValueError as error:
        raise InvalidJob([str(error)]) from error


def _told(events: Observer, task: Task, event: dict[str, Any]) -> None:
    """Pass an event on; values of a validation get their unit, and the name of a metric that is not the task's own."""
    if event["event"] not in ("validate", "order"):
        events(event)
        return
    metric = task.quick().metric
    other = {} if metric == task.metric else {"metric": metric.name}
    events({**event, "unit": metric.unit, **other})


def _validation(task: Task, batches: EvaluationBatches, supernet: Supernet) -> dict[str, float]:
    """Return the quality of the largest, the smallest and one random architecture; of a ticket, its own alone."""
    named = {
        "largest": supernet.space.largest(),
        "smallest": supernet.space.smallest(),
        "random": supernet.space.sample(np.random.default_rng(0)),
    }
    if supernet.ticket is not None:
        named = {"ticket": supernet.ticket.architecture}
    found = {}
    for name, architecture in named.items():
        network = calibrated_subnet(supernet, architecture, lambda: batches.calibration(_CALIBRATION))
        with judging(network):
            found[name] = checked(task.evaluate(network, batches.looked_at()), task).value
    return found
