"""The report on the data of a job: shown before anything is trained, and kept in its folder."""

import time
from pathlib import Path

from nas.data import Data
from nas.data.report import DataReport, report_on, subject_of
from service.job.folder import read_json, write_json
from service.job.front_file import DATA_FILE
from service.job.job import Job
from service.run.events import Events
from supernets import Task


def report_on_data(data: Data, job: Job, task: Task) -> DataReport:
    """Return what people should know of loaded data."""
    balanced = job.train.examples == "balanced" or not {"metric", "class_weights"}.isdisjoint(job.task.options)
    return report_on(subject_of(data, task), task, job.train.batch_size, balanced=balanced)


def check_data(data: Data, job: Job, task: Task, folder: Path, events: Events) -> None:
    """Tell and keep the report on the data of a job: once, and not each time the job is resumed.

    Args:
        data: Data as loaded.
        job: Job that uses them.
        task: What they are for.
        folder: Folder of the job.
        events: Receives the lines.
    """
    if not events.processes.is_first or _told(folder / DATA_FILE) == data.fingerprint:
        return
    report = report_on_data(data, job, task)
    events({"event": "check", "time": time.time(), "lines": report.lines()})
    write_json(folder / DATA_FILE, {**report.to_json(), "targets": dict(data.targets)})


def _told(path: Path) -> str | None:
    """Return the fingerprint of the data that were told of; None where the file is missing or damaged."""
    try:
        return (read_json(path) or {}).get("fingerprint")
    except (ValueError, AttributeError):
        return None  # it is written again
