"""Functions for queued jobs of the tests; each writes down in its folder what it did and where."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Observer = Callable[[dict[str, Any]], None]


def count(folder: Path, observer: Observer, *, steps: int = 5, step_s: float = 0.02) -> dict[str, Any]:
    """Counts to `steps`, one line each in `steps.txt`; goes on where an earlier attempt stopped."""
    notes = folder / "steps.txt"
    with (folder / "starts.txt").open("a") as file:
        file.write(f"{os.getpid()}\n")
    done = len(notes.read_text().split()) if notes.exists() else 0
    for step in range(done, steps):
        time.sleep(step_s)
        with notes.open("a") as file:
            file.write(f"{step}\n")
        observer({"event": "search", "done": step + 1, "total": steps})
    return {"steps": steps}


def occupy(folder: Path, observer: Observer, *, place: str, seconds: float = 0.3) -> None:
    """Fails where another job is on one of its GPUs at the same time, seen by a file each."""
    gpus = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    claims = [Path(place) / f"{gpu}.claimed" for gpu in gpus]
    for claim in claims:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL))
    time.sleep(seconds)
    (folder / "gpus.txt").write_text(",".join(gpus))
    for claim in claims:
        claim.unlink()


def stubborn(folder: Path, observer: Observer) -> None:
    """Ignores SIGTERM, starts a child in its session and one that leaves it; none would ever end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeper = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]
    children = [subprocess.Popen(sleeper), subprocess.Popen(sleeper, start_new_session=True)]
    (folder / "children.tmp").write_text(" ".join(str(child.pid) for child in children))
    (folder / "children.tmp").rename(folder / "children.txt")
    while True:
        time.sleep(1)


def fail(folder: Path, observer: Observer, *, message: str = "no") -> None:
    """Fails by its own fault."""
    raise ValueError(message)


def fill_disk(folder: Path, observer: Observer, *, attempts: int = 1) -> dict[str, Any]:
    """Meets a full disk in its first attempts: a device that is always full stands for it."""
    starts = folder / "starts.txt"
    with starts.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if len(starts.read_text().split()) <= attempts:
        with open("/dev/full", "w") as full:
            full.write("x")
    return {}
