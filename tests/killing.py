"""SIGKILL in the middle of work."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

_START_S = 500.0  # on a busy machine


def kill_after_progress(target: Callable[[str], None], argument: Path, progress: Path, delay_s: float) -> None:
    """Run `target(argument)` in a process of its own, wait until it has changed the file `progress`, wait a little
    longer, then kill it. Fails where the work ended before it could be killed."""
    before = progress.stat().st_mtime_ns if progress.exists() else None
    process = multiprocessing.get_context("spawn").Process(target=target, args=(str(argument),))
    process.start()
    deadline = time.monotonic() + _START_S
    while not progress.exists() or progress.stat().st_mtime_ns == before:
        assert process.is_alive(), "the work ended before it could be killed"
        assert time.monotonic() < deadline, f"no progress within {_START_S:.0f} s"
        time.sleep(0.01)
    time.sleep(delay_s)
    assert process.is_alive(), "the work ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.join()
