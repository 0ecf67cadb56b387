"""A job from its first stage to its result.

Each stage leaves its output in the job folder and is skipped where that output is there already, so an interrupted job
resumes where it stopped. Everything that is shown or logged meanwhile is an event: a dictionary that is
appended to ``progress.jsonl`` and handed to the observer.
"""

import resource
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.errors import InvalidJob
from service.job.device import torch_device
from service.job.environment import environment
from service.job.folder import read_json, write_json
from service.job.front_file import SPACE_FILE, TASK_FILE, described_task
from service.job.job import Job
from service.job.observer import Observer
from service.run import machine_load
from service.run.events import Events, Mirror, stage_seconds
from service.run.mending import mend
from service.run.stages.outputs import RESULT
from service.run.stages.plan import Plan
from service.tracking import sync
from service.tracking.format import created_ms

if TYPE_CHECKING:
    from service.run.context import JobContext
    from service.run.stages.stage import Stage


def run(
    folder: Path,
    job: Job,
    observer: Observer,
    plan: Plan | None = None,
    *,
    mirror: Mirror | None = sync.sync,
    workers: int = 1,
) -> dict[str, Any]:
    """Run the stages of a job that are not done yet, and return the content of ``result.json``.

    Args:
        folder: The job folder, prepared by `service.job.preparation.prepare_folder`.
        job: Job to run.
        observer: Receives every event.
        plan: Stages, and what they take from other jobs; by default a whole job.
        mirror: Logs the folder in MLflow from time to time; None where another process does that. A job that is over is
            not logged again.
        workers: Candidates that the search evaluates at the same time, each in a process of its own.

    Raises:
        InvalidJob: A stage or an option is wrong, something is missing, or a limit cannot be kept.
    """
    plan = plan or Plan()
    for message in mend(folder, plan):
        observer({"event": "warning", "time": time.time(), "message": message})
    if plan.is_over(folder):
        return read_json(folder / RESULT) or {}
    pending = plan.pending(folder)
    if not pending:
        return _summary(folder, plan)
    for stage in pending.values():
        stage.check(job, folder)
    return _run_pending(folder, job, observer, plan, mirror=mirror, workers=workers)


def _run_pending(
    folder: Path, job: Job, observer: Observer, plan: Plan, *, mirror: Mirror | None, workers: int
) -> dict[str, Any]:
    """Run what is not done yet; what makes networks is imported only here."""
    from service.run.context import JobContext
    from service.run.data_check import check_data
    from service.run.limits import check_limits
    from supernets import processes

    was_over = (folder / RESULT).exists()
    device = torch_device(job.device)
    with processes(device) as together:
        events = Events(folder, job, observer, together, None if was_over else mirror)
        context = JobContext(folder, job, device, events, together, plan.inputs, workers=workers)
        pending = plan.pending(folder)
        if any(stage.result != "after" for stage in pending.values()):
            check_limits(job, folder, context.space, device)
        with nullcontext() if was_over else _recorded(folder, events):
            if together.is_first and not (folder / TASK_FILE).exists():
                write_json(folder / TASK_FILE, described_task(context.task_name, context.task))
            if together.is_first and context.space.origin is not None and not (folder / SPACE_FILE).exists():
                events({"event": "space", "time": time.time(), "lines": context.space.origin.lines()})
                write_json(folder / SPACE_FILE, context.space.origin.to_json())
            if any(stage.result == "before" and (together.is_first or stage.together) for stage in pending.values()):
                # Read before anything is trained, so that bad data are known at once.
                check_data(context.data, job, context.task, folder, events)
            for name, stage in pending.items():
                if together.is_first or stage.together:
                    with events.stage(name, stage.title):
                        _run_stage(stage, context)
            result = _summary(folder, plan) if together.is_first else {}
        if together.is_first and any(stage.result == "writes" for stage in pending.values()):
            write_json(folder / RESULT, result)
            events.sync(final=True)
    return result


def _run_stage(stage: "Stage", context: "JobContext") -> None:
    """Run a stage; unusable files and a diverging training are reported as mistakes of the job."""
    from search_spaces.errors import WrongResult
    from supernets.training.loop import TrainingDiverged
    from supernets.whole_file import InvalidFile

    try:
        stage.run(context)
    except (InvalidFile, WrongResult) as error:
        raise InvalidJob([str(error)]) from error
    except TrainingDiverged as error:
        other = f"try it in a folder of its own: nas run {context.folder} --set train.lr=N --output NEW"
        raise InvalidJob([f"{error}; train.lr is {context.job.train.lr:g}, {other}"]) from error


@contextmanager
def _recorded(folder: Path, events: Events) -> Iterator[None]:
    """Keep how the job ends, and how busy the machine is until then, in the first of several processes."""
    described = read_json(folder / "job.json")
    watched: AbstractContextManager[None] = nullcontext()
    if described is not None and events.processes.is_first:
        watched = machine_load.sampled(events.keep, created_s=created_ms(described) / 1000)
    with events.closing(), watched:
        yield


def _summary(folder: Path, plan: Plan) -> dict[str, Any]:
    """Return the job in numbers."""
    seconds = stage_seconds(folder)
    summary: dict[str, Any] = {
        "status": "finished",
        "stages": seconds,
        "seconds": round(sum(seconds.values()), 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "environment": environment(),
    }
    for stage in plan.made().values():
        summary |= stage.summary(folder)
    return summary
