"""The receivers of the events of a job: the observer, the progress file and, from time to time, MLflow."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.job.folder import read_events
from service.job.job import Job
from service.job.observer import Observer
from service.tracking.sync import SyncResult
from supernets.whole_file import append_line

if TYPE_CHECKING:
    from supernets import Processes

_ABOUT_TRAINING = (
    *("train", "validate", "rollback", "sampler", "statistics", "order", "split_plan", "split"),
    *("capture", "ticket"),
)
_KEPT = (*_ABOUT_TRAINING, "stage", "warning", "ended", "failed")
_SYNC_EVERY_S = 20.0
_LONGEST_PAUSE_S = 600.0
_PAUSE_PER_SYNC = 20.0  # so that a slow server costs at most a twentieth of the time

Mirror = Callable[..., SyncResult]
"""Brings MLflow up to date with a job folder: called as `mirror(folder, config, final=...)`."""


@dataclass
class Events:
    """The events of one job; only the first of several processes writes or tells anything.

    Args:
        folder: The job folder.
        job: What is done in it.
        observer: Receives every event.
        processes: The processes that work on the job together.
        mirror: Logs the folder in MLflow from time to time; None where another process does that.
    """

    folder: Path
    job: Job
    observer: Observer
    processes: "Processes"
    mirror: Mirror | None = None

    def __post_init__(self) -> None:
        self.next_sync = time.monotonic() + _SYNC_EVERY_S
        self.pause_s = _SYNC_EVERY_S
        self.mirror_works = True
        self.running = ""
        self.writing = threading.Lock()

    def __call__(self, event: dict[str, Any]) -> None:
        if not self.processes.is_first:
            return
        self.observer(event)
        if event["event"] in _KEPT:
            self.keep(event)
        if time.monotonic() > self.next_sync:
            self.sync()

    def tell(self, event: dict[str, Any]) -> None:
        """Hand an event to the observer alone: it says how far something is, and nothing about the job."""
        if self.processes.is_first:
            self.observer(event)

    def progress(self, done: float, total: float, **more: Any) -> None:
        """Tell how far the stage is that runs now."""
        self({"event": self.running, "done": done, "total": total, **more})

    def keep(self, event: dict[str, Any]) -> None:
        """Append an event to what the job folder holds, and tell nobody; any thread may do that."""
        with self.writing:
            append_line(self.folder / "progress.jsonl", json.dumps(event))

    def sync(self, *, final: bool = False) -> None:
        """Mirror the folder in MLflow; if that fails, say so once, go on, and try again at growing intervals."""
        if self.mirror is None or not (self.processes.is_first and self.job.tracking.enabled):
            return
        start = time.monotonic()
        error = self.mirror(self.folder, self.job.tracking, final=final).error
        end = time.monotonic()
        longest = min(2 * self.pause_s, _LONGEST_PAUSE_S) if error else _SYNC_EVERY_S
        self.pause_s = max(longest, _PAUSE_PER_SYNC * (end - start))
        self.next_sync = end + self.pause_s
        worked, self.mirror_works = self.mirror_works, not error
        if error and worked:
            hint = f"MLflow is not reached ({error}); the job goes on, log it later with: nas sync {self.folder}"
            self({"event": "warning", "time": time.time(), "message": hint})
        elif not worked and not error:
            self(
                {
                    "event": "warning",
                    "time": time.time(),
                    "message": "MLflow is reached again",
                }
            )

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Report the beginning and the end of a stage.

        Args:
            name: Name of the stage, also of its progress.
            title: Title in displays.
        """
        start = time.perf_counter()
        self.running = name
        self({"event": "stage", "time": time.time(), "stage": name, "status": "started", "title": title})
        yield
        finished = {"stage": name, "status": "finished", "seconds": round(time.perf_counter() - start, 2)}
        self({"event": "stage", "time": time.time(), **finished})

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Leave MLflow in the right state however the job ends."""
        self.sync()
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception):
                reason = f"{type(error).__name__}: {error}"
                with suppress(OSError):  # the disk may be full: the error itself says so
                    self({"event": "failed", "time": time.time(), "reason": reason})
            with suppress(OSError):
                self.sync(final=True)
            raise


def stage_seconds(folder: Path) -> dict[str, float]:
    """Return seconds that each stage of a job took, those of interrupted runs included, as far as they left events."""
    events = [event for event in read_events(folder / "progress.jsonl")[0] if event["event"] != "system"]
    seconds: dict[str, float] = {}
    stage, since = None, 0.0
    for event in events:
        if event["event"] == "stage" and event.get("status") == "started":
            stage, since = str(event.get("stage")), event["time"]
        elif stage is not None:
            seconds[stage] = seconds.get(stage, 0.0) + event["time"] - since
            since = event["time"]
            if event["event"] == "stage":
                stage = None
    return {name: round(total, 2) for name, total in seconds.items()}
