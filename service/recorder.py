"""Where the events of a job go: the observer, the progress file and, from time to time, MLflow."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service import tracking
from service.folder import read_lines
from service.jobs import Job
from supernets import Processes

Observer = Callable[[dict[str, Any]], None]
_KEPT = ("train", "validate", "rollback", "sampler", "split", "stage", "warning", "ended", "failed")
_SYNC_EVERY_S = 20.0


@dataclass
class Recorder:
    """Called with every event of one job; only the first of several processes records anything."""

    folder: Path
    job: Job
    observer: Observer
    siblings: Processes

    def __post_init__(self) -> None:
        self.last_sync = time.monotonic()
        self.mirror_works = True

    def __call__(self, event: dict[str, Any]) -> None:
        if not self.siblings.is_first:
            return
        self.observer(event)
        if event["event"] in _KEPT:
            with open(self.folder / "progress.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")
        if time.monotonic() - self.last_sync > _SYNC_EVERY_S:
            self.sync()

    def sync(self, *, final: bool = False) -> None:
        """Mirror the folder in MLflow; where that fails, say so once and go on."""
        self.last_sync = time.monotonic()
        if not (self.siblings.is_first and self.job.tracking.enabled and (self.mirror_works or final)):
            return
        outcome = tracking.sync(self.folder, self.job.tracking, final=final)
        if outcome.error and self.mirror_works:
            self.mirror_works = False
            hint = (
                f"MLflow is not reached ({outcome.error}); the job goes on, log it later with: nas sync {self.folder}"
            )
            self({"event": "warning", "time": time.time(), "message": hint})

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        self({"event": "stage", "time": time.time(), "stage": name, "status": "started"})
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
                self({"event": "failed", "time": time.time(), "reason": reason})
            self.sync(final=True)
            raise


def stage_seconds(folder: Path) -> dict[str, float]:
    """Seconds that each stage of a job took, those of interrupted runs included, as far as they left events."""
    events, _ = read_lines(folder / "progress.jsonl")
    seconds: dict[str, float] = {}
    stage, since = None, 0.0
    for event in events:
        if event["event"] == "stage" and event["status"] == "started":
            stage, since = event["stage"], event["time"]
        elif stage is not None:
            seconds[stage] = seconds.get(stage, 0.0) + event["time"] - since
            since = event["time"]
            if event["event"] == "stage":
                stage = None
    return {name: round(total, 2) for name, total in seconds.items()}
