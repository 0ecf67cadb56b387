"""Removing the folders of jobs that are over, and the remains of killed submissions."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from service.queue.executors.executor import (
    CANCELLED,
    FAILED,
    FINISHED,
    LOST,
    RESULT,
    SKIPPED,
    is_over,
    read_object,
    read_ticket,
    try_lock,
)
from service.queue.queue import UNFINISHED, Queue

ENDINGS = (FINISHED, FAILED, CANCELLED, LOST, SKIPPED)
_SUBMISSIONS_END_S = 3600.0


def clean(queue: Queue, states: Sequence[str], older_than_s: float, *, remove: bool) -> list[tuple[Path, int]]:
    """Find and, if asked, remove what is no longer needed.

    Args:
        queue: Queue whose folders are cleaned.
        states: Only jobs that ended in one of these states.
        older_than_s: Only jobs that ended at least this many seconds ago.
        remove: Whether to remove them.

    Returns:
        Each folder and its size in bytes.
    """
    folders, now = queue.folders(), time.time()
    needed = {name for folder in folders if not is_over(folder) for name in _needs(folder)}
    found = [path for path in queue.folder.glob(f"{UNFINISHED}*") if now - path.stat().st_mtime > _SUBMISSIONS_END_S]
    for folder in folders:
        if not is_over(folder) or folder.name in needed:
            continue
        ended_long_ago = now - (folder / RESULT).stat().st_mtime >= older_than_s
        if ended_long_ago and read_object(folder / RESULT).get("status") in states:
            found.append(folder)
    sizes = [(path, _size(path)) for path in found]
    if remove:
        for path in found:
            _remove(path)
    return sizes


def _needs(folder: Path) -> list[str]:
    try:
        ticket = read_ticket(folder)
    except ValueError:
        return []
    return [*ticket.after, *ticket.inputs.values()]


def _size(folder: Path) -> int:
    return sum(os.lstat(Path(place) / name).st_size for place, _, names in os.walk(folder) for name in names)


def _remove(folder: Path) -> None:
    lock = try_lock(folder)
    if lock is not None:  # another process works on it now
        with lock:
            shutil.rmtree(folder, ignore_errors=True)
