"""Timing of networks, with the standard library only: the same source times here and on other machines.

A network is timed in *visits*: a few groups of passes one after the other, then it is the turn of the next network.
Time in which the thread was ready to run but other programs had the core is not part of the latency. Linux says for
every thread how long that was, and it is subtracted.
"""

from __future__ import annotations

import contextlib
import math
import signal
import statistics
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterator  # noqa: UP035  # other machines have older Pythons

WARM_UP_SHARE = 0.03


class TooSlow(Exception):
    """A network took longer than its time limit."""


class NotFinite(Exception):
    """The output of a network holds NaN or infinity."""


def nothing() -> None:
    """Do nothing: nothing has to be waited for, or cancelled."""


@dataclass
class Network:
    """A network that is ready to run.

    Args:
        step: Starts one pass.
        wait: Returns when all passes have ended, where they run on a device of their own.
        finite: Whether the last pass gave finite numbers only.
        cancel: Ends a pass that is running, from another thread.
        memory_mb: Peak memory in megabytes, where it is known.
        passes: Passes of a group; 0 until it is warm.
        clock: Clock in seconds, where the passes do not run in the thread that starts them.
    """

    step: Callable[[], Any]
    finite: Callable[[], bool]
    wait: Callable[[], None] = nothing
    cancel: Callable[[], None] = nothing
    memory_mb: float | None = None
    passes: int = 0
    clock: Callable[[], float] | None = None


class OwnTime:
    """A clock without the seconds in which this thread was ready to run and had no core, as far as the system counts
    them.
    """

    def __init__(self) -> None:
        try:
            self._file: Any = open("/proc/thread-self/schedstat", "rb", buffering=0)  # noqa: SIM115
        except OSError:
            self._file = None

    def __call__(self) -> float:
        if self._file is None:
            return time.perf_counter()
        self._file.seek(0)
        waited_s = int(self._file.read(96).split()[1]) / 1e9
        return time.perf_counter() - waited_s

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@dataclass
class Plan:
    """The plan of a visit: longest warm-up, groups, shortest group, longest visit, joules used so far (if
    countable).
    """

    warmup_s: float
    groups: int
    min_time_ms: float
    timeout_s: float
    energy_j: Callable[[], float | None]


def visit(network: Network, plan: Plan) -> dict[str, Any]:
    """Time a network a few times in a row; the first visit warms it up.

    Returns:
        `times_ms`, milliseconds of a pass for each group; `passes` of a group; `memory_mb`; `energy_mj` of a pass.

    Raises:
        TooSlow: The time limit passed before any group was timed.
        NotFinite: The output of the network is not finite.
    """
    end = time.perf_counter() + plan.timeout_s
    own_time = OwnTime()
    clock = network.clock or own_time
    try:
        with time_limit(plan.timeout_s, network.cancel):
            if not network.passes:
                _warm_up(network, plan, clock)
            else:
                _group_ms(network, clock)  # brings its weights back into the caches
            times: list[float] = []
            before = plan.energy_j()
            while len(times) < plan.groups and (not times or time.perf_counter() < end):
                times.append(_group_ms(network, clock))
            after = plan.energy_j()
    finally:
        own_time.close()
    energy = None if before is None or after is None else 1e3 * (after - before) / (len(times) * network.passes)
    return {"times_ms": times, "passes": network.passes, "memory_mb": network.memory_mb, "energy_mj": energy}


def _warm_up(network: Network, plan: Plan, clock: Callable[[], float]) -> None:
    """Run until five times agree with the five before them, then fix how many passes make a group."""
    end = time.perf_counter() + plan.warmup_s
    network.passes = 1
    try:
        times = [_group_ms(network, clock)]
        if not network.finite():
            raise NotFinite("its output is not finite")
        while time.perf_counter() < end:
            times.append(_group_ms(network, clock))
            last, before = statistics.median(times[-5:]), statistics.median(times[-10:-5] or times)
            if len(times) >= 12 and abs(last - before) < WARM_UP_SHARE * before:
                break
    except BaseException:
        network.passes = 0
        raise
    network.passes = max(1, math.ceil(plan.min_time_ms / max(statistics.median(times[-5:]), 1e-6)))


def _group_ms(network: Network, clock: Callable[[], float]) -> float:
    """Return the milliseconds of one pass, as the mean of a group."""
    step = network.step
    network.wait()
    start = clock()
    for _ in range(network.passes):
        step()
    network.wait()
    return 1e3 * max(clock() - start, 1e-9) / network.passes


@contextlib.contextmanager
def time_limit(seconds: float, cancel: Callable[[], None] = nothing) -> Iterator[None]:
    """End what runs inside after some seconds, as far as it can be ended.

    Python code ends at its next instruction, in the main thread; a pass inside a runtime ends where `cancel` can do it.

    Raises:
        TooSlow: The time is over.
    """
    over = threading.Event()
    in_main = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")

    def end() -> None:
        over.set()
        cancel()

    def interrupt(*_: Any) -> None:
        raise TooSlow(f"takes longer than {seconds:.3g} s")

    watch = threading.Timer(seconds, end)
    watch.daemon = True
    before: Any = signal.signal(signal.SIGALRM, interrupt) if in_main else None
    try:
        watch.start()
        if in_main:
            signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    except TooSlow:
        raise
    except Exception as error:
        if over.is_set():
            raise TooSlow(f"takes longer than {seconds:.3g} s") from error
        raise
    finally:
        if in_main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        watch.cancel()
