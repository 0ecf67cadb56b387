"""Jobs on this machine: one child process each, in its own session, on its own GPUs and cores.

Nothing has to be started. The process that serves the queue calls `tick`; if it dies, its jobs go on and the next such
process adopts them. The lock of its folder tells whether a job runs, and the kernel tells whether a GPU is free: the
child inherits both locks. This executor is for one machine; for several machines there is SLURM.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from service import isolation
from service.errors import InvalidJob
from service.job.folder import write_json
from service.queue.executors import processes
from service.queue.executors.executor import (
    FAILED,
    LOG,
    LOST,
    PROCESS,
    STATE,
    Ticket,
    attempts,
    end_cancelled,
    end_if_idle,
    is_cancelled,
    is_locked,
    is_over,
    read_object,
    read_ticket,
    try_lock,
)
from service.queue.executors.slots import Slots, Taken, settings_of
from service.queue.executors.slurm_options import cluster_only
from service.queue.executors.waits import Waits, line_of

SETTINGS = "settings.json"
_GRACE_S = 45.0
_MACHINE_WAIT_S = 15.0


@dataclass
class _Running:
    """A job that runs; if an earlier process started it, it has neither a child process nor slots here."""

    process: subprocess.Popen[bytes] | None = None
    taken: Taken | None = None
    asked: float | None = None  # to stop, of the monotonic clock


@dataclass
class Local:
    """The queue of one machine.

    Args:
        queue: The queue folder; its `settings.json` is a `SlotConfig`, and `grace_s`: how long a cancelled job may
            take to end by itself, `machine_wait_s`: how long to wait after a disk was full and the like.
    """

    queue: Path
    queued: dict[Path, Ticket] = field(default_factory=dict)
    running: dict[Path, _Running] = field(default_factory=dict)
    not_before: dict[Path, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = read_object(self.queue / SETTINGS)
        self.slots = Slots(settings_of(settings))
        self.waits = Waits(self.queue, self.slots)
        self.grace_s = float(settings.get("grace_s", _GRACE_S))
        self.machine_wait_s = float(settings.get("machine_wait_s", _MACHINE_WAIT_S))

    def check(self, ticket: Ticket) -> None:
        found = [*(f"--{line}" for line in self.slots.mistakes(ticket.resources)), *cluster_only(ticket)]
        if found:
            raise InvalidJob(found)

    def submit(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            if folder in self.queued or folder in self.running or is_over(folder):
                continue
            try:
                ticket = read_ticket(folder)
            except ValueError as error:
                end_if_idle(folder, FAILED, str(error))
                continue
            impossible = self.slots.mistakes(ticket.resources)
            if impossible:
                end_if_idle(folder, FAILED, "; ".join(impossible))
            elif attempts(folder) > 0:  # of an earlier process: the next tick sees whether it still runs
                self.running[folder] = _Running()
            else:
                self.queued[folder] = ticket

    def cancel(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            if not is_over(folder) and not end_cancelled(folder):
                processes.terminate(folder)

    def tick(self) -> list[Path]:
        for folder, job in list(self.running.items()):
            if self._is_alive(folder, job):
                self._stop_if_cancelled(folder, job)
            elif self._is_due(folder):
                with self._later_if_not_writable(folder):
                    self._bury(folder, job)
        for folder in [folder for folder in self.queued if is_over(folder) or is_cancelled(folder)]:
            with self._later_if_not_writable(folder):
                if is_over(folder) or end_cancelled(folder):
                    del self.queued[folder]
        self._start_all()
        return [*self.running, *self.queued]

    def _is_due(self, folder: Path) -> bool:
        return self.not_before.get(folder, 0.0) <= time.monotonic()

    @contextmanager
    def _later_if_not_writable(self, folder: Path) -> Iterator[None]:
        """Put off what is due where the disk is full or the folder became read-only: that ends no job."""
        try:
            yield
        except OSError as error:
            print(f"{folder.name}: put off, its folder cannot be written: {error}", file=sys.stderr, flush=True)
            self._put_off(folder, f"its folder cannot be written: {error.strerror or error}")

    def _put_off(self, folder: Path, why: str) -> None:
        self.not_before[folder] = time.monotonic() + self.machine_wait_s
        self.waits.put_off(folder, why)

    # ---- jobs that run

    def _is_alive(self, folder: Path, job: _Running) -> bool:
        if job.process is not None:
            return job.process.poll() is None
        if not is_locked(folder):
            return False
        starting = not (folder / PROCESS).exists()
        return bool(processes.members(folder)) if starting else processes.is_alive(folder)

    def _stop_if_cancelled(self, folder: Path, job: _Running) -> None:
        if not is_cancelled(folder):
            return
        if job.asked is None:
            job.asked = time.monotonic()
            processes.terminate(folder)
        elif time.monotonic() - job.asked > self.grace_s:
            processes.kill(folder)

    def _bury(self, folder: Path, job: _Running) -> None:
        """End what a dead runner left behind, free its slots, and decide how its job goes on."""
        processes.kill(folder)
        if is_locked(folder):
            return  # a process that is being killed still holds it
        if job.taken is not None:
            job.taken.close()
        if not is_over(folder):
            self._queue_again(folder)
        del self.running[folder]

    def _queue_again(self, folder: Path) -> None:
        """Queue a job whose last attempt ended without a result."""
        noted, number = read_object(folder / PROCESS), attempts(folder)
        if is_cancelled(folder) and end_cancelled(folder):
            return
        try:
            ticket = read_ticket(folder)
        except ValueError as error:
            end_if_idle(folder, FAILED, str(error))
            return
        if noted.get("stopped") and number > 0:
            self._note(folder, number - 1)
            (folder / PROCESS).unlink()
        elif number >= ticket.max_attempts:
            why = noted.get("failure") or _last_line(folder / LOG)
            end_if_idle(folder, LOST, f"ended {number} times without a result; last: {why}")
            return
        elif noted.get("failure"):
            self._put_off(folder, str(noted["failure"]))
        self.queued[folder] = ticket

    # ---- jobs that wait

    def _start_all(self) -> None:
        """Start what fits, by priority; behind a job that waits for GPUs no other that needs some overtakes it."""
        first = dict[str, Path]()  # the first that waits for GPUs, and the first that only waits for cores
        for folder in sorted(self.queued, key=lambda f: (-self.queued[f].priority, self.queued[f].order, f.name)):
            ticket = self.queued[folder]
            if not self._is_due(folder):
                continue
            line = line_of(ticket.resources.gpus)
            if line in first:
                continue
            taken = self.waits.take(line, ticket.resources)
            if taken is None:
                first[line] = folder
                continue
            self._start(folder, ticket, taken)
        self.waits.note(first)

    def _start(self, folder: Path, ticket: Ticket, taken: Taken) -> None:
        """Start the runner, which is handed the locks; they are held without a gap."""
        process = None
        try:
            with self._later_if_not_writable(folder):
                lock = try_lock(folder, patience_s=0.1)
                if lock is not None:
                    with lock:
                        self._note(folder, attempts(folder) + 1, taken)
                        (folder / PROCESS).unlink(missing_ok=True)
                        process = self._spawn(folder, taken, lock.fileno())
                        self.waits.hold(folder, process.pid, taken)
        finally:
            if process is None:
                taken.close()
        if process is not None:
            del self.queued[folder]
            self.running[folder] = _Running(process, taken)
        elif self._is_due(folder):  # another process runs it, such as a person with `nas run`
            del self.queued[folder]
            self.running[folder] = _Running()

    def _spawn(self, folder: Path, taken: Taken, lock: int) -> subprocess.Popen[bytes]:
        marked = {**os.environ, **taken.environment(), processes.MARK: str(folder.resolve())}
        command = isolation.command("service.queue.runner", str(folder.resolve()), str(lock))
        with (folder / LOG).open("ab") as log, _affinity(taken.cpus):
            return subprocess.Popen(
                command,
                env=marked,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock, *taken.descriptors),
            )

    def _note(self, folder: Path, attempt: int, taken: Taken | None = None) -> None:
        slots = taken.describe() if taken is not None else {}
        write_json(folder / STATE, {"attempt": attempt, "executor": "local", "boot": processes.boot(), **slots})


@contextmanager
def _affinity(cpus: Sequence[int]) -> Iterator[None]:
    """Start processes on these cores only, or on all of this process where none are named."""
    before = os.sched_getaffinity(0)
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), "its process was killed")
