"""The tasks of a benchmark, done in processes and kept one by one, so that an interrupted command can resume."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from service.errors import InvalidJob
from service.job.folder import read_lines
from service.job.observer import Observer
from service.run import worker_processes


class KeyedTask(Protocol):
    """A task, and the key under which it is remembered."""

    @property
    def key(self) -> str: ...


Task = TypeVar("Task", bound=KeyedTask)
Answer = TypeVar("Answer")


def remembered(journal: Path, answer: Callable[[dict[str, Any]], Answer]) -> dict[str, Answer]:
    """Return the answers of a journal by key; half a line that a killed process left is cut off.

    Args:
        journal: Journal whose records have a `key`.
        answer: Function from a record to its answer.

    Raises:
        InvalidJob: The journal is damaged.
    """
    try:
        records, end = read_lines(journal)
        known = {record["key"]: answer(record) for record in records}
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidJob([f"{journal} is damaged ({error}); give another --output"]) from error
    if journal.exists():
        os.truncate(journal, end)
    return known


def completed(
    ready: Callable[[], Callable[[Task], Answer]],
    tasks: Sequence[Task],
    known: Mapping[str, Answer],
    journal: Path,
    *,
    record: Callable[[Task, Answer], dict[str, Any]],
    observer: Observer,
    event: str,
    workers: int = 0,
) -> dict[str, Answer]:
    """Return the answers to all tasks by key; unknown ones are computed and written to the journal.

    Args:
        ready: Makes the function that does a task, once in each process.
        tasks: All of them.
        known: Answers by key, as `remembered` gives them.
        journal: Journal that the others are written to; its folder is made.
        record: Task and answer -> record of the journal with its `key`.
        observer: Receives the number of finished tasks.
        event: Name of the event that it receives.
        workers: Processes; 0 for one per core.

    Raises:
        InvalidJob: A process was killed.
    """
    answers, missing = dict(known), [task for task in tasks if task.key not in known]
    before = len(tasks) - len(missing)
    observer({"event": event, "done": before, "total": len(tasks)})
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as file:
        try:
            found = worker_processes.computed(ready, missing, workers=workers or worker_processes.cores())
            for done, (task, answer) in enumerate(found, before + 1):
                print(json.dumps(record(task, answer)), file=file, flush=True)
                answers[task.key] = answer
                observer({"event": event, "done": done, "total": len(tasks)})
        except worker_processes.WorkerEnded as error:
            raise InvalidJob([f"{error}; {worker_processes.AGAIN}"]) from error
    return answers
