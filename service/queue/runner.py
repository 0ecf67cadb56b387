"""The runner of a queued job: the process ``service.queue.runner FOLDER``, the same under every executor.

It may be started at any time, any number of times. It returns at once where the job has a result or another runner
holds its lock; otherwise it continues where the last one stopped. It never imports mlflow: the process that serves the
queue mirrors the folder.

SIGTERM asks for a clean stop, at the next checkpoint of a training or after the current evaluation. If there is a file
`cancel` in the folder, the job is then over. Otherwise it can be started again, and this does not count as an attempt.
"""

import errno
import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from service import own_code
from service.job.folder import write_json
from service.queue.executors import distributed, processes
from service.queue.executors.executor import (
    ACTIVITY,
    CANCELLED,
    FAILED,
    FINISHED,
    PROCESS,
    Ticket,
    end,
    is_cancelled,
    is_over,
    read_ticket,
    sign_lock,
    try_lock,
)

OVER, BUSY, MACHINE_FAILED, STOPPED = 0, 73, 74, 75  # exit codes; 75 is "try again" of sysexits.h
Observer = Callable[[dict[str, Any]], None]
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENOLCK}
_CHECKPOINT_WAIT_S = 40.0
_ACTIVITY_EVERY_S = 1.0


class Stopped(BaseException):
    """The job stops now and is resumed later."""


class Cancelled(BaseException):
    """The job ends now, for good."""


def main() -> int:
    """Run one job folder; return the exit code."""
    folder = Path(sys.argv[1])
    lock = os.fdopen(int(sys.argv[2]), "a+", encoding="utf-8") if len(sys.argv) > 2 else None
    return run_job(folder, lock)


def run_job(folder: Path, lock: IO[str] | None = None) -> int:
    """Run a queued job to its result, or until it is asked to stop.

    Of several processes that train together, those after the first (`RANK`) only help: they take no lock and write no
    result.

    Args:
        folder: The job folder.
        lock: Its lock, where the caller holds it already.

    Returns:
        `OVER` (there is a result), `BUSY` (another runner works on it), `STOPPED` (it can be resumed at any time, and
        this does not count as an attempt) or `MACHINE_FAILED` (disk full and the like: worth another attempt later).
    """
    folder = folder.resolve()
    if is_over(folder):
        return OVER
    if int(os.environ.get("RANK", "0")) > 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends with the first, which decides when
        _do(folder, _readied(folder), lambda event: None)
        return OVER
    lock = lock or try_lock(folder, patience_s=1.0)
    if lock is None:
        return BUSY
    with lock:
        os.set_inheritable(lock.fileno(), False)
        if is_over(folder):
            return OVER
        try:
            sign_lock(lock)
            write_json(folder / PROCESS, processes.this())
            return _run_locked(folder)
        except OSError as error:
            if error.errno not in _OF_THE_MACHINE:
                raise
            traceback.print_exc()
            with suppress(OSError):
                write_json(folder / PROCESS, {**processes.this(), "failure": error.strerror})
            return MACHINE_FAILED


def _run_locked(folder: Path) -> int:
    try:
        with _Stop(folder).listening() as stop:
            stop.check()
            ticket = _readied(folder)
            with distributed.helpers(folder, distributed.process_count(ticket)):
                result = _do(folder, ticket, stop)
        end(folder, FINISHED, **{name: value for name, value in (result or {}).items() if name != "status"})
    except Cancelled:
        end(folder, CANCELLED, "cancelled while it was running")
    except Stopped:
        write_json(folder / PROCESS, {**processes.this(), "stopped": True})
        return STOPPED
    except KeyboardInterrupt:  # of a person who runs jobs in their own process: not a fault of the job
        write_json(folder / PROCESS, {**processes.this(), "stopped": True})
        raise
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise
        if is_cancelled(folder):  # an error that the stop itself caused
            end(folder, CANCELLED, "cancelled while it was running")
            return OVER
        if distributed.lost_another(error):
            raise  # not a fault of the job: it is resumed in the next attempt
        traceback.print_exc()
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        end(folder, FAILED, f"{type(error).__name__}: {reason}", traceback=traceback.format_exc())
    return OVER


@dataclass
class _Stop:
    """The decision whether the job should end; every event of the job passes through here."""

    folder: Path
    asked: float | None = None  # when SIGTERM came, of the monotonic clock
    saved: int = 0  # checkpoint at that time
    said: float = float("-inf")
    began: tuple[str, float, float] = ("", 0.0, 0.0)  # the current stage, its first progress, and the time of it

    @contextmanager
    def listening(self) -> Iterator["_Stop"]:
        before = signal.signal(signal.SIGTERM, self._ask)
        try:
            yield self
        finally:
            signal.signal(signal.SIGTERM, before)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked is None:
            self.asked, self.saved = time.monotonic(), self._checkpoint()

    def _checkpoint(self) -> int:
        """Return the time of the last checkpoint of any training of the job; 0 where there is none."""
        written = [path.stat().st_mtime_ns for path in self.folder.rglob("checkpoint.pt") if path.exists()]
        return max(written, default=0)

    def check(self, event: dict[str, Any] | None = None) -> None:
        """End the job where it should end.

        Raises:
            Cancelled: There is a file `cancel`.
            Stopped: SIGTERM came, and a training has saved its state since.
        """
        if is_cancelled(self.folder):
            raise Cancelled
        if self.asked is None:
            return
        training = event is not None and "step" in event
        waited = time.monotonic() - self.asked
        if not training or self._checkpoint() != self.saved or waited > _CHECKPOINT_WAIT_S:
            raise Stopped

    def __call__(self, event: dict[str, Any]) -> None:
        """Note how far the job is, now and then; it is the observer of the job."""
        self.check(event)
        now, stage = processes.since_boot_s(), str(event.get("event"))
        done, total = event.get("done", event.get("step")), event.get("total", event.get("steps"))
        if done is None or not total:
            return
        if self.began[0] != stage:
            self.began = (stage, done, now)
        elif now - self.said < _ACTIVITY_EVERY_S and done < total:
            return
        self.said = now
        noted = {"stage": stage, "done": done, "total": total, "boot_s": now}
        with suppress(OSError):  # it is only for people
            write_json(self.folder / ACTIVITY, {**noted, "first": self.began[1], "since_boot_s": self.began[2]})


def _readied(folder: Path) -> Ticket:
    """Return the ticket of a job; the user's own code that it names can be imported from then on."""
    ticket = read_ticket(folder)
    own_code.make_importable(*ticket.code, ticket.directory)
    return ticket


def _do(folder: Path, ticket: Ticket, stop: Observer) -> dict[str, Any] | None:
    """Do what the ticket says; return what goes into the result."""
    os.chdir(ticket.directory)
    if ticket.call is not None:
        return _called(ticket.call)(folder, stop, **ticket.arguments)
    from rich.console import Console

    from service.run.progress import ProgressDisplay

    with ProgressDisplay(Console(width=120)) as display:

        def observer(event: dict[str, Any]) -> None:
            display(event)
            stop(event)

        return _staged(folder, ticket, observer)


def _staged(folder: Path, ticket: Ticket, observer: Observer) -> dict[str, Any]:
    from service.job.loading import load_job
    from service.run.run import run
    from service.run.stages.plan import Plan

    inputs = {file: folder.parent / name for file, name in ticket.inputs.items()}
    plan = Plan(stages=ticket.stages, options=ticket.stage_options, inputs=inputs)
    return run(
        folder, load_job(folder), observer, plan, mirror=None
    )  # the process that serves the queue mirrors the folder


def _called(name: str) -> Callable[..., dict[str, Any] | None]:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


if __name__ == "__main__":
    sys.exit(main())
