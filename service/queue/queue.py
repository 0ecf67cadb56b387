"""The queue: a folder of job folders, which hold everything that is known; any process may look at it or add to it.

Each job folder is named by its id and the name of the job, such as ``3f9a1c-cifar10``. It appears complete, because it
is renamed. Only its owner may use the folder: jobs run under their name.
"""

import ctypes
import fcntl
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from service.errors import InvalidJob
from service.job.folder import write_json
from service.queue.executors import processes
from service.queue.executors.executor import (
    ACTIVITY,
    CANCEL,
    PROCESS,
    RESULT,
    SKIPPED,
    STATE,
    TICKET,
    Ticket,
    attempts,
    is_cancelled,
    is_locked,
    is_over,
    read_object,
    read_ticket,
    try_lock,
)

if TYPE_CHECKING:
    from service.job.job import Job

DEFAULT = Path("runs") / "queue"
UNFINISHED = ".new-"
_LOCK, _SEQUENCE, _WORKER_LOCK = ".lock", ".sequence", ".worker"
_ID_BYTES = 3


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A job that is not in the queue yet.

    Args:
        key: Name of the draft among others that are added with it.
        ticket: Its `after` and `inputs` may name such others by their keys.
        job: Job that the stages of the ticket belong to; None for a ticket with a `call`.
    """

    key: str
    ticket: Ticket
    job: "Job | None" = None


@dataclass(frozen=True, kw_only=True)
class Status:
    """The status of a job.

    Args:
        folder: Folder of the job.
        name: Name of the job.
        state: waiting (for other jobs), queued, running, cancelling, or the status of its result.
        reason: Why it ended in this state, or what it waits for.
        stage: The current stage.
        done: Progress of the stage, out of `total`.
        left_s: Seconds to the end of the stage at the speed so far; None where it is not known.
        gpus: The GPUs that it has.
        attempt: Number of the current start; 0 before the first.
        wanted_gpus: Number of GPUs that it asks for.
        priority: Higher starts first.
        executor: Executor that runs it.
        order: Order of submission.
    """

    folder: Path
    name: str
    state: str
    reason: str = ""
    stage: str = ""
    done: float = 0
    total: float = 0
    left_s: float | None = None
    gpus: Sequence[str] = ()
    attempt: int = 0
    wanted_gpus: int = 0
    priority: int = 0
    executor: str = ""
    order: int = 0

    @property
    def is_over(self) -> bool:
        return self.state not in ("waiting", "queued", "running", "cancelling")

    @property
    def id(self) -> str:
        return id_of(self.folder)


def id_of(folder: Path) -> str:
    """Return the short name of a job."""
    return folder.name.partition("-")[0]


@dataclass(frozen=True)
class Queue:
    """A folder of job folders."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, *, create: bool = False) -> "Queue":
        """Return the queue in a folder, which is made if asked for.

        Raises:
            InvalidJob: There is no queue, or the folder belongs to another user, is a file, or cannot be made.
        """
        folder = folder.resolve()
        try:
            if create:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            elif not folder.is_dir():
                raise InvalidJob([f"--queue-folder: {folder} holds no queue; nas submit makes one"])
            facts = folder.stat()
            if facts.st_uid != os.geteuid():
                raise InvalidJob([f"--queue-folder: {folder} belongs to another user; must be your own"])
            if stat.S_IMODE(facts.st_mode) & 0o077:
                folder.chmod(0o700)
            if create:
                (folder / _LOCK).touch()
        except OSError as error:
            why = error.strerror or error
            raise InvalidJob([f"--queue-folder: {folder}: {why}; give a folder that you can write"]) from error
        return cls(folder)

    def folders(self) -> list[Path]:
        """Return all job folders."""
        names = (entry.name for entry in os.scandir(self.folder) if not entry.name.startswith("."))
        return [path for name in sorted(names) if (path := self.folder / name).is_dir()]

    def find(self, text: str) -> Path:
        """Return the job with this id, or whose id begins with it.

        Raises:
            InvalidJob: There is no such job, or there are several.
        """
        folders = self.folders()
        exact = [folder for folder in folders if text in (id_of(folder), folder.name)]
        found = exact or [folder for folder in folders if text and folder.name.startswith(text)]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(folder.name for folder in found[:4]) + (", …" if len(found) > 4 else "")
            raise InvalidJob([f"job {text!r}: {len(found)} jobs begin so: {some}"])
        raise InvalidJob([f"job {text!r}: no such job in {self.folder}; nas jobs lists them"])

    # ---- adding

    def add(self, drafts: Sequence[Draft]) -> list[Path]:
        """Add jobs, each whole or not at all; jobs that others wait for come first.

        Raises:
            OSError: The disk is full or the folder cannot be written; then nothing was added.
        """
        with self._alone():
            first = int((self.folder / _SEQUENCE).read_text() or 0) if (self.folder / _SEQUENCE).exists() else 0
            names = self._names(drafts)
            place = self.folder / f"{UNFINISHED}{secrets.token_hex(4)}"
            try:
                self._write(place, drafts, names, first)
                (self.folder / _SEQUENCE).write_text(str(first + len(drafts)))
                _sync(place)  # once for all: a job that is visible survives a power failure
                for draft in drafts:
                    (place / names[draft.key]).rename(self.folder / names[draft.key])
            finally:
                shutil.rmtree(place, ignore_errors=True)
        return [self.folder / names[draft.key] for draft in drafts]

    def _names(self, drafts: Sequence[Draft]) -> dict[str, str]:
        taken = {id_of(folder) for folder in self.folders()}
        names = {}
        for draft in drafts:
            while (identity := secrets.token_hex(_ID_BYTES)) in taken:
                pass
            taken.add(identity)
            names[draft.key] = f"{identity}-{draft.ticket.name}"
        return names

    def _write(self, place: Path, drafts: Sequence[Draft], names: Mapping[str, str], first: int) -> None:
        from service.job.environment import environment

        place.mkdir(mode=0o700)
        found = environment() if any(draft.job is not None for draft in drafts) else {}
        for number, draft in enumerate(drafts):
            folder = place / names[draft.key]
            folder.mkdir(mode=0o700)
            ticket = replace(
                draft.ticket,
                order=first + number,
                after=[names.get(name, name) for name in draft.ticket.after],
                inputs={file: names.get(name, name) for file, name in draft.ticket.inputs.items()},
            )
            if draft.job is not None:
                from service.job.preparation import job_record

                _write_plain(folder / "job.json", job_record(draft.job, found, ticket.code))
            _write_plain(folder / TICKET, ticket.to_json())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time add jobs."""
        with (self.folder / _LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def try_serve(self) -> IO[str] | None:
        """Return the right to serve the queue, or None where a process has it; closing it, or dying, lets it go."""
        file = (self.folder / _WORKER_LOCK).open("a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def is_served(self) -> bool:
        """Return whether a process serves the queue."""
        return is_locked(self.folder, _WORKER_LOCK)

    # ---- changing

    def cancel(self, folder: Path) -> None:
        """Ask a job to stop for good.

        Raises:
            InvalidJob: It is over already, or was cancelled before.
        """
        if is_over(folder):
            state = read_object(folder / RESULT).get("status", "over")
            raise InvalidJob([f"job {id_of(folder)}: cannot be cancelled, it is {state} already"])
        if is_cancelled(folder):
            raise InvalidJob([f"job {id_of(folder)}: was cancelled before and is ending"])
        (folder / CANCEL).touch()

    def retry(self, folder: Path) -> list[Path]:
        """Queue an unfinished job again, with those that were skipped because of it, and return them.

        Raises:
            InvalidJob: It runs, waits or has finished.
        """
        state = read_object(folder / RESULT).get("status") if is_over(folder) else "not over yet"
        if state in ("finished", "not over yet"):
            raise InvalidJob([f"job {id_of(folder)}: cannot be tried again, it is {state}"])
        again = [folder]
        for other in sorted(self.folders(), key=_order):
            skipped = is_over(other) and read_object(other / RESULT).get("status") == SKIPPED
            if skipped and {one.name for one in again} & set(_after(other)):
                again.append(other)
        for one in again:
            lock = try_lock(one, patience_s=1.0)
            if lock is None:
                raise InvalidJob([f"job {id_of(one)}: a process still works on it"])
            with lock:
                for name in (CANCEL, STATE, PROCESS, ACTIVITY):
                    (one / name).unlink(missing_ok=True)
                _note_unlogged(one)
                (one / RESULT).unlink()
        return again

    # ---- looking

    def status(self, folder: Path) -> Status:
        """Return how a job stands, from its folder alone."""
        try:
            ticket = read_ticket(folder)
        except ValueError:
            ticket = Ticket(name=folder.name.partition("-")[2] or folder.name)
        known: dict[str, Any] = {
            "folder": folder,
            "name": ticket.name,
            "attempt": attempts(folder),
            "wanted_gpus": ticket.resources.gpus,
            "priority": ticket.priority,
            "executor": ticket.executor,
            "order": ticket.order,
        }
        if is_over(folder):
            result = read_object(folder / RESULT)
            return Status(state=result.get("status", "damaged"), reason=str(result.get("reason") or ""), **known)
        if is_locked(folder):
            gpus = read_object(folder / STATE).get("gpus", ())
            state = "cancelling" if is_cancelled(folder) else "running"
            return Status(state=state, gpus=gpus, **known, **_activity(folder))
        if is_cancelled(folder):
            return Status(state="cancelling", **known)
        open_ones = [id_of(self.folder / name) for name in ticket.after if not is_over(self.folder / name)]
        if open_ones:
            return Status(state="waiting", reason=f"for {', '.join(open_ones)}", **known)
        return Status(state="queued", reason=str(read_object(folder / STATE).get("reason") or ""), **known)


def _activity(folder: Path) -> dict[str, Any]:
    """Return what a running job is doing; what an earlier attempt left does not count."""
    noted, process = read_object(folder / ACTIVITY), read_object(folder / PROCESS)
    try:
        if noted["boot_s"] < process["boot_s"] or process["boot"] != processes.boot():
            return {}
        gained = noted["done"] - noted["first"]
        spent = noted["boot_s"] - noted["since_boot_s"]
        since = processes.since_boot_s() - noted["boot_s"]
        left = max(0.0, spent * (noted["total"] - noted["done"]) / gained - since) if gained > 0 else None
        return {"stage": noted["stage"], "done": noted["done"], "total": noted["total"], "left_s": left}
    except (KeyError, TypeError):
        return {}


def _order(folder: Path) -> int:
    order = read_object(folder / TICKET).get("order", 0)
    return order if isinstance(order, int) else 0


def _after(folder: Path) -> list[str]:
    return list(read_object(folder / TICKET).get("after") or [])


def _note_unlogged(folder: Path) -> None:
    """Note that what MLflow has of a job is not the whole any more."""
    memory = read_object(folder / "tracking.json")
    if memory.get("synced"):
        write_json(folder / "tracking.json", {**memory, "synced": False}, durable=False)


def _sync(folder: Path) -> None:
    """Flush the file system of a folder to disk, without waiting for other file systems, which may be away.

    Raises:
        OSError: The file system could not be written.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


def _write_plain(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
