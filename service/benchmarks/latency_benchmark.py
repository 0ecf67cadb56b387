"""`nas benchmark latency`: every device of a table is held out in turn, with many seeds, and each result is kept."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.benchmarks.latency import DeviceTable, Errors, HeldOut, Setting
from service import catalogue
from service.benchmarks.tasks import completed, remembered
from service.errors import InvalidJob
from service.job.folder import finite
from service.job.observer import Observer

JOURNAL = "latency.jsonl"


@dataclass(frozen=True, kw_only=True)
class LatencyPlan:
    """What to try.

    Attributes:
        table: Latencies of all devices.
        devices: Devices to hold out; empty for all.
        samples: Numbers of measurements.
        seeds: Draws of the measured architectures for each device.
        family_too: Whether other settings of the same device are unknown too.
        predictor: Name of the predictor from scratch.
    """

    table: DeviceTable
    devices: Sequence[str] = ()
    samples: tuple[int, ...] = (10, 20, 50)
    seeds: int = 10
    family_too: bool = False
    predictor: str = "ridge_or_svr"

    @property
    def held_out(self) -> list[str]:
        """The devices to hold out, in the order of the table."""
        return [name for name in self.table.devices if not self.devices or name in self.devices]

    @property
    def setting(self) -> Setting:
        make = catalogue.resolve("predictor", self.predictor)
        return Setting(samples=self.samples, family_too=self.family_too, from_scratch=make)


class Task(NamedTuple):
    """One device and seed, and the key under which it is remembered."""

    device: str
    seed: int
    key: str


@dataclass
class Runner:
    """The runner of the tasks of a plan, in this process or in another; it keeps what it learned for a device."""

    plan: LatencyPlan
    _kept: tuple[str, HeldOut] | None = field(default=None, init=False, repr=False)

    def __call__(self, task: Task) -> list[Errors]:
        if self._kept is None or self._kept[0] != task.device:
            place = list(self.plan.table.devices).index(task.device)
            self._kept = task.device, HeldOut(self.plan.table, place, self.plan.setting)
        return self._kept[1].errors(task.seed)


def check(plan: LatencyPlan) -> None:
    """Check that the plan can be done at all, before anything long.

    Raises:
        InvalidJob: There are mistakes; it lists all of them.
    """
    mistakes = [
        f"--device: unknown device {name!r} of the table{catalogue.suggestion(name, plan.table.devices)}"
        for name in plan.devices
        if name not in plan.table.devices
    ]
    try:
        plan.setting  # noqa: B018 - names and numbers are checked when it is made
    except ValueError as error:
        mistakes.append(f"{'--samples' if 'samples' in str(error) else '--predictor'}: {error}")
    by = "--by family" if plan.family_too else "--table"
    for name in plan.held_out:
        place = list(plan.table.devices).index(name)
        known, rows = (
            len(plan.table.others(place, family_too=plan.family_too)),
            int(plan.table.measured[:, place].sum()),
        )
        if known < 2:
            mistakes.append(f"{by}: {known} devices are known when {name} is new; at least 2 are needed")
        if plan.samples and rows <= max(plan.samples):
            mistakes.append(f"--samples: {name} was measured on {rows} architectures; {max(plan.samples)} leave none")
    if not plan.table.measured.all() and not plan.table.described.shape[1]:
        mistakes.append("--features: needed (or --space), as not every architecture was measured on every device")
    if mistakes:
        raise InvalidJob(mistakes)


def perform(plan: LatencyPlan, folder: Path, observer: Observer, *, workers: int = 0) -> dict[str, list[list[Errors]]]:
    """Do the tasks that are not in the journal yet, and return device -> seed -> errors.

    Args:
        plan: The plan.
        folder: Folder where the journal is.
        observer: Receives the progress.
        workers: Processes; 0 for one per core.

    Raises:
        InvalidJob: The journal is damaged, or a process was killed.
    """
    tasks, journal = list(_tasks(plan)), folder / JOURNAL
    known = remembered(journal, lambda record: [_errors(e) for e in record["errors"]])
    if any(task.key not in known for task in tasks):
        plan.table.completed_ms  # noqa: B018 - once for all processes
    known = completed(
        partial(Runner, plan),
        tasks,
        known,
        journal,
        record=lambda task, errors: {**task._asdict(), "errors": [_record(e) for e in errors]},
        observer=observer,
        event="predict",
        workers=workers,
    )
    return {name: [known[task.key] for task in tasks if task.device == name] for name in plan.held_out}


def _tasks(plan: LatencyPlan) -> Iterator[Task]:
    """Yield the tasks device by device, because what is learned from the others serves all seeds."""
    digest = hashlib.sha256(json.dumps([*plan.table.devices, *plan.table.families]).encode())
    for part in (plan.table.latency_ms, plan.table.described, *plan.table.counted.values()):
        digest.update(np.ascontiguousarray(part).tobytes())
    settings = [digest.hexdigest(), sorted(plan.samples), plan.family_too, plan.predictor, [*plan.table.counted]]
    for device in plan.held_out:
        for seed in range(plan.seeds):
            text = json.dumps([settings, device, seed])
            yield Task(device, seed, hashlib.sha256(text.encode()).hexdigest()[:16])


def _record(errors: Errors) -> dict[str, Any]:
    return {**asdict(errors), "values": [finite(value) for value in errors.values]}


def _errors(record: dict[str, Any]) -> Errors:
    values = tuple(np.nan if value is None else float(value) for value in record["values"])
    return Errors(**{**record, "values": values})
