"""A job from its first stage to its result.

Each stage leaves its output in the job folder and is skipped where that output is there already, so a job that was
interrupted goes on where it stopped. Everything that reaches a person or MLflow on the way is an event: a dictionary
that is appended to ``progress.jsonl`` and handed to the observer.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from service.job.device import torch_device
from service.job.folder import read_json, write_json
from service.job.job import Job
from service.job.observer import Observer
from service.run import machine_load
from service.run.context import Work
from service.run.events import Mirror, Recorder
from service.run.stages import STAGES, summary_of
from service.tracking import sync
from service.tracking.format import created_ms
from supernets import processes


def run(
    folder: Path,
    job: Job,
    observer: Observer,
    *,
    stages: Sequence[str] = tuple(STAGES),
    supernet_from: Path | None = None,
    mirror: Mirror | None = sync.sync,
    workers: int = 1,
) -> dict[str, Any]:
    """Run the stages of a job that are not done yet; returns what ``result.json`` says.

    Args:
        folder: The job folder, prepared by `service.job.preparation.prepare_folder`.
        job: What to do.
        observer: Receives every event.
        stages: Which stages, in the order of `service.run.stages.STAGES`.
        supernet_from: Job folder whose trained supernet is searched instead of training one.
        mirror: Logs the folder in MLflow from time to time; None where another process does that.
        workers: Candidates that the search evaluates at the same time, each in a process of its own.
    """
    result_path = folder / "result.json"
    if result_path.exists():
        return json.loads(result_path.read_text())
    device = torch_device(job.device)
    with processes(device) as siblings:
        recorder = Recorder(folder, job, observer, siblings, mirror)
        work = Work(folder, job, device, recorder, siblings, supernet_from, workers=workers)
        work.check_latency_bound()
        with recorder.closing(), _watched(folder, recorder):
            for stage in stages:
                if siblings.is_first or stage == "train":
                    with recorder.stage(stage):
                        STAGES[stage](work)
            result = summary_of(work) if siblings.is_first else {}
        if siblings.is_first and "test" in stages:
            write_json(result_path, result)
            recorder.sync(final=True)
    return result


def _watched(folder: Path, recorder: Recorder) -> AbstractContextManager[None]:
    """How busy the machine is, kept by the first of several processes."""
    described = read_json(folder / "job.json")
    if described is None or not recorder.siblings.is_first:
        return nullcontext()
    return machine_load.sampled(recorder.keep, created_s=created_ms(described) / 1000)
