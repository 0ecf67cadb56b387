"""The number of threads of one operation, and how they wait for each other."""

import os
import re

_SPINS = "2000"
_THREADS = "OMP_NUM_THREADS"


def wait_briefly() -> None:
    """Let threads that wait for each other sleep after some microseconds; to be called before torch is imported.

    GNU OpenMP, which torch brings along on Linux, by default spins for milliseconds where there seem to be enough
    cores. While another program takes one of them, training then becomes tens of times slower; on an idle machine,
    spinning brings nothing. A setting of the user is respected.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def drop_unreadable() -> str | None:
    """Drop an `OMP_NUM_THREADS` that is not a number of threads, such as ``auto``, and return a line that says so.

    Libraries then choose for themselves, as they would with the variable, but none of them complains.
    """
    text = os.environ.get(_THREADS)
    if text is None or chosen() is not None:
        return None
    del os.environ[_THREADS]
    return f"{_THREADS}={text!r} is not a number of threads; it is ignored"


def too_many() -> str | None:
    """Return a line where `OMP_NUM_THREADS` asks for more threads than this process has cores, which slows it down."""
    asked, cores = chosen() or 0, len(os.sched_getaffinity(0))
    if asked <= cores:
        return None
    return f"{_THREADS} is {asked}, but this process may use {cores} of the cores: threads will wait for each other"


def chosen() -> int | None:
    """Return how many threads `OMP_NUM_THREADS` asks for, at the outermost level where it lists several."""
    found = re.fullmatch(r"\s*\+?0*([1-9][0-9]{0,8})\s*(,.*)?", os.environ.get(_THREADS, ""))
    return int(found[1]) if found else None
