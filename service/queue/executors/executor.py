"""A job is a folder; an executor starts it somewhere and knows whether it is alive.

The files of a queued job folder, beside what the job itself leaves there:

================  ==============================================  ====================================================
file              written by                                      says
================  ==============================================  ====================================================
``job.json``      whoever submits, once                           the specification (jobs of `service.job.job` only)
``queue.json``    whoever submits, once                           `Ticket`: stages, dependencies, priority, resources
``state.json``    the executor, while it holds the lock           attempts so far, the slots or the cluster's id
``process.json``  the runner, while it holds the lock             `processes`: who runs it, on what
``activity.json`` the runner, about once a second                 stage, done, total
``progress.jsonl`` the runner                                     events that are kept
``log.txt``       the runner's output, all attempts
``cancel``        anyone                                          it is there: please stop, for good
``lock``          nobody; a flock on it is held by the runner     held: the job is running
``result.json``   whoever holds the lock, once, whole             it is there: the job is over
================  ==============================================  ====================================================

A job may be started any number of times (at least once, idempotent); its result is written once. Nothing here is
unpickled, and no decision needs a clock.
"""

import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Protocol

from service.job.folder import read_object as read_object  # noqa: PLC0414 - what reads a queue reads it by this
from service.job.folder import write_json

RESULT, TICKET, STATE, PROCESS, ACTIVITY, CANCEL, LOCK, LOG = (
    *("result.json", "queue.json", "state.json", "process.json", "activity.json"),
    *("cancel", "lock", "log.txt"),
)
FINISHED, FAILED, CANCELLED, LOST, SKIPPED = "finished", "failed", "cancelled", "lost", "skipped"


class Executor(Protocol):
    """An executor starts job folders and looks after them until they are over; it is made from the queue folder.

    The order of calls is free. Every method may be called again, by this process or a later one, with folders that were
    queued, run or ended before: the folders hold the truth. Only one process at a time calls `submit` and `tick` for
    the folders of one queue (it holds the lock of the queue); any process may call `cancel`.
    """

    def check(self, ticket: "Ticket") -> None:
        """Refuse a job that could never run here; asked before anything is written.

        Raises:
            InvalidJob: The request is wrong, or something has to be installed.
        """

    def submit(self, folders: Sequence[Path]) -> None:
        """Take prepared folders whose dependencies are over, and return at once.

        Idempotent: a folder that is over is left alone, and one that an earlier process submitted is adopted.
        Folders of one call are one array where the executor has arrays.
        """

    def cancel(self, folders: Sequence[Path]) -> None:
        """End queued and running jobs for good; idempotent, returns at once.

        The `cancel` files are there already. A queued job gets its result now, a running one when it has ended.
        """

    def tick(self) -> list[Path]:
        """Do what is due: start jobs, notice dead ones, and start these again up to their attempts.

        It never waits for a job (except `inline`, which is for trying things out), and returns the folders that are
        still open.
        """


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources of one job.

    Args:
        gpus: Whole GPUs or slots of them; a job with several has one process per GPU, which train together.
        cpus: Cores; null for all of the machine (`local`) or the default of the cluster.
        memory_gb: Memory of the whole job; only for clusters, which enforce it.
        time_min: Time of one run of the job; only for clusters, which enforce it. The job then goes on in a next run.
        nodes: Machines; more than one on clusters only.
    """

    gpus: int = 0
    cpus: int | None = None
    memory_gb: float | None = None
    time_min: float | None = None
    nodes: int = 1

    def __post_init__(self) -> None:
        if self.gpus < 0:
            raise ValueError(f"gpus must be 0 or more, got {self.gpus}")
        if self.nodes < 1:
            raise ValueError(f"nodes must be 1 or more, got {self.nodes}")
        for name in ("cpus", "memory_gb", "time_min"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be more than 0, got {value}")


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """The content of `queue.json`: what to run, when it may start, and what it needs.

    Args:
        name: Name for people.
        executor: Name of the executor in the catalogue.
        order: Jobs of equal priority start in this order.
        stages: Stages, by their names in the catalogue.
        stage_options: Name of a stage -> its options.
        call: ``package.module:function``, called with the folder and an observer instead of the stages of a job.
        arguments: Further arguments of that function, by name.
        inputs: File that the stages need -> folder of the job that it is taken from; relative to the queue folder, or
            absolute.
        after: Folders that must have finished before, named in the same way.
        array: Equal for jobs that were submitted as one array.
        priority: Higher starts first.
        resources: Resources that it needs.
        directory: Absolute folder that relative paths of the job start from.
        code: Folders that it imports the user's own code from, beside the directory; absolute.
        max_attempts: Starts without a result after which the job counts as lost.
        options: Options that only a cluster understands, such as its partition.
    """

    name: str
    executor: str = "local"
    order: int = 0
    stages: Sequence[str] = ()
    stage_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    call: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[str] = ()
    array: str | None = None
    priority: int = 0
    resources: Resources = field(default_factory=Resources)
    directory: str = "."
    code: Sequence[str] = ()
    max_attempts: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be 1 or more, got {self.max_attempts}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_ticket(folder: Path) -> Ticket:
    """Return the content of `queue.json`.

    Raises:
        ValueError: The file is damaged or missing.
    """
    path = folder / TICKET
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = {entry.name for entry in fields(Ticket)}
        content = {name: value for name, value in content.items() if name in known}
        return Ticket(**{**content, "resources": Resources(**content.get("resources", {}))})
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{path}: damaged or missing ({error})") from error


def attempts(folder: Path) -> int:
    """Return how many starts so far count."""
    number = read_object(folder / STATE).get("attempt", 0)
    return number if isinstance(number, int) and number > 0 else 0


def is_over(folder: Path) -> bool:
    """Return whether the job has a result."""
    return (folder / RESULT).exists()


def is_cancelled(folder: Path) -> bool:
    """Return whether someone asked the job to stop for good."""
    return (folder / CANCEL).exists()


def try_lock(folder: Path, *, patience_s: float = 0.0) -> IO[str] | None:
    """Return the lock of a job folder, or None where a runner holds it; closing it, or dying, lets it go.

    Args:
        folder: The job folder.
        patience_s: Seconds to try; a process that only looks at a job holds its lock for an instant.
    """
    file = (folder / LOCK).open("a+", encoding="utf-8")
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                return None
            time.sleep(0.02)
        else:
            return file


def is_locked(folder: Path, name: str = LOCK) -> bool:
    """Return whether a process holds the lock of a folder; that of a job folder is held by its runner.

    It needs no right to write, and two processes that look do not take each other for a runner.
    """
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def sign_lock(file: IO[str]) -> None:
    """Note in a lock that this process holds, for messages to people, who holds it."""
    file.seek(0)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def end(folder: Path, status: str, reason: str | None = None, **more: Any) -> None:
    """Write the result of a job whose lock the caller holds, unless it has one or its folder was removed."""
    if folder.is_dir() and not is_over(folder):
        write_json(folder / RESULT, {"status": status, "reason": reason, **more, "attempts": attempts(folder)})


def end_if_idle(folder: Path, status: str, reason: str) -> bool:
    """Write the result of a job that nobody runs; False where someone does."""
    lock = try_lock(folder)
    if lock is None:
        return False
    with lock:
        end(folder, status, reason)
    return True


def end_cancelled(folder: Path) -> bool:
    """End a job that was asked to stop, if nobody runs it; False where someone does."""
    began = (folder / PROCESS).exists()
    return end_if_idle(folder, CANCELLED, "cancelled while it was running" if began else "cancelled before it started")
