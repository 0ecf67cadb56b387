"""Serving a queue: jobs are handed to their executors when their dependencies are over, and mirrored in MLflow.

All decisions are in the job folders, so a worker may die at any moment and another one continues. One worker at a time
serves a queue; jobs need it only to be started, not to go on.
"""

import math
import os
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from service import catalogue, isolation
from service.errors import InvalidJob
from service.queue.executors.executor import (
    FAILED,
    FINISHED,
    LOST,
    PROCESS,
    RESULT,
    SKIPPED,
    Executor,
    Ticket,
    end_if_idle,
    is_over,
    read_object,
    read_ticket,
)
from service.queue.queue import Queue, id_of

LOG = ".worker.log"
PROGRESS = "progress.jsonl"
_TICK_S, _IDLE_TICK_S = 0.1, 0.5
LINGER_S = 5.0  # an idle worker stays a while, so that the next job need not start one
_MIRROR_EVERY_S, _MIRROR_AT_MOST_S = 20.0, 600.0


class Driver:
    """The open jobs of one queue, and the executors that they are handed to."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.executors: dict[str, Executor] = {}
        self.held: dict[Path, Ticket] = {}  # not submitted yet
        self.submitted: set[Path] = set()
        self.over: set[Path] = set()
        self.open: list[Path] = []

    def tick(self) -> int:
        """Do what is due; return how many jobs are open."""
        self._look()
        self._release()
        self.open = [folder for name in list(self.executors) for folder in self.executors[name].tick()]
        for folder in self.submitted - set(self.open):
            self.submitted.discard(folder)
            self.over.add(folder)
        return len(self.open) + len(self.held)

    def _look(self) -> None:
        """Take up what is new, also what was over and is tried again."""
        there = self.queue.folders()
        self.over &= set(there)
        for folder in there:
            if is_over(folder):
                self.over.add(folder)
                self.held.pop(folder, None)
            elif folder not in self.submitted and folder not in self.held:
                self.over.discard(folder)
                try:
                    self.held[folder] = read_ticket(folder)
                except ValueError as error:
                    with suppress(OSError):
                        end_if_idle(folder, FAILED, str(error))

    def _release(self) -> None:
        """Submit what waits for nothing any more, arrays as a whole; what waits in vain ends."""
        ready: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for folder, ticket in list(self.held.items()):
            standing = {name: _standing(self.queue.folder / name) for name in ticket.after}
            lost = [name for name, state in standing.items() if state not in (FINISHED, None)]
            if lost:
                why = f"{id_of(Path(lost[0]))} ({lost[0].partition('-')[2]}), which it needs, is {standing[lost[0]]}"
                with suppress(OSError):
                    if end_if_idle(folder, SKIPPED, why):
                        del self.held[folder]
            elif None not in standing.values():
                ready[ticket.executor, ticket.array or folder.name].append(folder)
        for (name, _), folders in ready.items():
            self._submit(name, sorted(folders, key=lambda folder: self.held[folder].order))

    def _submit(self, name: str, folders: Sequence[Path]) -> None:
        try:
            if name not in self.executors:
                self.executors[name] = catalogue.resolve("queue", name)(self.queue.folder)
            self.executors[name].submit(folders)
        except (InvalidJob, ValueError, ImportError) as error:
            for folder in folders:
                with suppress(OSError):
                    end_if_idle(folder, FAILED, f"queue {name}: {error}")
            return
        for folder in folders:
            del self.held[folder]
            self.submitted.add(folder)


def serve(
    queue: Queue,
    lock: IO[str],
    *,
    until_idle: bool = False,
    mirror: bool = True,
    say: Callable[[str], None] = print,
    tick_s: float = _TICK_S,
    linger_s: float = 0.0,
) -> None:
    """Serve a queue until interrupted or, if asked, until nothing is open.

    Args:
        queue: Queue of the jobs.
        lock: Lock of `Queue.try_serve`.
        until_idle: Whether to end when all jobs are over.
        mirror: Whether to mirror the jobs in MLflow.
        say: Takes lines about jobs that ended.
        tick_s: Seconds between looks at open jobs.
        linger_s: With `until_idle`, seconds without open jobs after which to end.
    """
    mirroring = Mirror(queue) if mirror else None
    held: IO[str] | None = lock
    while held is not None:
        with held:
            _serve(queue, linger_s if until_idle else math.inf, mirroring, say, tick_s)
        # jobs added by someone who still saw the lock held are for this process
        held = None if all(is_over(folder) for folder in queue.folders()) else queue.try_serve()


def _serve(queue: Queue, linger_s: float, mirror: "Mirror | None", say: Callable[[str], None], tick_s: float) -> None:
    """Serve until no job has been open for `linger_s` seconds."""
    driver, last_open = Driver(queue), time.monotonic()
    told = {folder for folder in queue.folders() if is_over(folder)}
    while True:
        open_ones = driver.tick()
        for folder in sorted(driver.over - told):
            say(f"{folder.name}: {read_object(folder / RESULT).get('status')}")
        told = set(driver.over)
        if mirror is not None:
            mirror.tick(driver.open, driver.over)
        if open_ones:
            last_open = time.monotonic()
        elif time.monotonic() - last_open >= linger_s:
            break
        time.sleep(tick_s if open_ones else max(tick_s, _IDLE_TICK_S))
    if mirror is not None:
        mirror.finish(driver.over)


def _standing(folder: Path) -> str | None:
    """Return the status of a job that another one waits for; None while it is open."""
    if is_over(folder):
        return str(read_object(folder / RESULT).get("status", "damaged"))
    return None if folder.is_dir() else "gone"


class Mirror:
    """The mirror of jobs in MLflow: now and then it starts a process, the only one that imports mlflow."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.process: subprocess.Popen[bytes] | None = None
        self.wait_s = _MIRROR_EVERY_S
        self.next = time.monotonic() + self.wait_s
        self.done: set[Path] = set()  # over, with nothing left to log

    def tick(self, open_ones: Iterable[Path], over: Iterable[Path]) -> None:
        self.done &= set(over)  # a retried job has to be logged again
        if self.process is not None:
            failed = self.process.poll()
            if failed is None:
                return
            self.process = None
            self.wait_s = min(2 * self.wait_s, _MIRROR_AT_MOST_S) if failed else _MIRROR_EVERY_S
            self.next = time.monotonic() + self.wait_s
        elif time.monotonic() > self.next:
            self.next = time.monotonic() + self.wait_s
            self._start([*(folder for folder in open_ones if (folder / PROGRESS).exists()), *self._unlogged(over)])

    def finish(self, over: Iterable[Path]) -> None:
        """Mirror what ended since."""
        if self.process is not None:
            self.process.wait()
        self._start(self._unlogged(over))
        if self.process is not None:
            self.process.wait()
            self.process = None

    def _unlogged(self, over: Iterable[Path]) -> list[Path]:
        candidates = sorted(set(over) - self.done)
        found = [folder for folder in candidates if is_to_be_logged(folder)]
        self.done.update(set(candidates) - set(found))
        return found

    def _start(self, folders: Sequence[Path]) -> None:
        if folders:
            command = isolation.command("service.queue.mirror", *map(str, folders))
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)


def is_to_be_logged(folder: Path) -> bool:
    """Return whether a job that is over belongs into MLflow, and is not wholly there yet."""
    described = read_object(folder / "job.json").get("job")
    if not isinstance(described, dict) or not _has_a_story(folder):
        return False
    wanted = (described.get("tracking") or {}).get("enabled", True)
    return wanted and not read_object(folder / "tracking.json").get("synced")


def _has_a_story(folder: Path) -> bool:
    """Return whether a job that is over ran, or failed before it could; one called off before has nothing to tell."""
    try:
        read_ticket(folder)
    except ValueError:
        return False  # its store is not known
    ran = (folder / PROGRESS).exists() or (folder / PROCESS).exists()
    return ran or read_object(folder / RESULT).get("status") in (FINISHED, FAILED, LOST)


def start(queue: Queue) -> bool:
    """Start a worker for a queue that has none, in a session of its own so that the terminal may be closed.

    Returns:
        Whether one was started; False where the queue is served already.

    Raises:
        OSError: The process could not be started.
    """
    lock = queue.try_serve()
    if lock is None:
        return False
    command = isolation.command("service.cli", "worker", "--until-idle", "--queue-folder", str(queue.folder))
    with lock, (queue.folder / LOG).open("ab") as log:
        subprocess.Popen(
            [*command, "--lock", str(lock.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock.fileno(),),  # it holds the lock from the first moment
        )
    return True


def systemd_unit(queue: Queue) -> str:
    """Return a user service that serves a queue from boot on; jobs outlive its restarts."""
    paths = os.environ.get("PYTHONPATH")
    environment = f"Environment={_in_unit(f'PYTHONPATH={paths}')}\n" if paths else ""
    command = isolation.command("service.cli", "worker", "--queue-folder", str(queue.folder))
    started = " ".join(_in_unit(part).replace("$", "$$") for part in command)
    return f"""\
[Unit]
Description=Espalier queue {str(queue.folder).replace("%", "%%")}

[Service]
ExecStart={started}
WorkingDirectory={str(Path.cwd()).replace("%", "%%")}
{environment}KillMode=process
Restart=always
RestartSec=5

[Install]
WantedBy=default.target
"""


def _in_unit(text: str) -> str:
    """Return one word of a unit file, whatever is in it."""
    if re.fullmatch(r"[\w@:=,./-]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
