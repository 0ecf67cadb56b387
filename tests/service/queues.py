"""Queues of cheap jobs for tests, served by real processes."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.job.folder import write_json
from service.queue.executors import processes
from service.queue.executors.executor import PROCESS, RESULT, Resources, Ticket, is_over, read_object
from service.queue.queue import Draft, Queue

ROOT = Path(__file__).parents[2]
WORK = "tests.service.queued_work"
_PATIENCE_S = 500.0


def make_queue(place: Path, *, slots: Path | None = None, **settings: Any) -> Queue:
    """A queue with lock files of its own, so that tests do not wait for each other."""
    queue = Queue.open(place / "queue", create=True)
    defaults = {"folder": str(slots or place / "slots"), "grace_s": 1.0, "machine_wait_s": 0.2}
    write_json(queue.folder / "settings.json", {**defaults, **settings})
    return queue


def add(queue: Queue, function: str, count: int = 1, *, gpus: int = 0, **more: Any) -> list[Path]:
    """Adds calls of a function of `queued_work`; what a ticket does not know becomes an argument."""
    known = {name: more.pop(name) for name in list(more) if name in Ticket.__dataclass_fields__}
    known = {"resources": Resources(gpus=gpus, cpus=None if gpus else 1), **known}
    ticket = Ticket(name=function, call=f"{WORK}:{function}", arguments=more, directory=str(ROOT), **known)
    return queue.add([Draft(key=f"{number}/", ticket=ticket) for number in range(count)])


def nas(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "service.cli", *arguments]


def run_nas(queue: Queue, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command on a queue, as a person types it."""
    command = nas(*arguments, "--queue-folder", str(queue.folder))
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start_worker(queue: Queue) -> subprocess.Popen[bytes]:
    """`nas worker`, as a person starts it; ends when all jobs are over."""
    command = nas("worker", "--until-idle", "--queue-folder", str(queue.folder))
    return subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {_PATIENCE_S:.0f} s: {what}"
        time.sleep(0.02)


def finish(queue: Queue, worker: subprocess.Popen[bytes], patience_s: float = _PATIENCE_S) -> None:
    """Waits until all jobs are over and the worker has ended; nothing is left running then."""
    assert worker.wait(patience_s) == 0
    for folder in queue.folders():
        assert is_over(folder), folder.name
        assert processes.members(folder) == [], f"{folder.name}: left running"


def result(folder: Path) -> dict[str, Any]:
    return read_object(folder / RESULT)


def runner_of(folder: Path) -> int | None:
    """The process that runs a job now."""
    return read_object(folder / PROCESS).get("pid") if processes.is_alive(folder) else None


def has_progress(folder: Path) -> bool:
    path = folder / "steps.txt"
    return path.exists() and path.stat().st_size > 0


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def soak(queue: Queue, folders: list[Path], kills: int, seed: int) -> int:
    """Serves the queue while runners are killed at random; returns how many kills hit a running job."""
    worker, chance, hits = start_worker(queue), random.Random(seed), 0
    while hits < kills and worker.poll() is None:
        time.sleep(chance.uniform(0.0, 0.1))
        alive = [runner for folder in folders if (runner := runner_of(folder)) is not None]
        if alive:
            try:
                kill(chance.choice(alive))
            except ProcessLookupError:
                continue  # it has just ended by itself
            hits += 1
    finish(queue, worker)
    return hits
