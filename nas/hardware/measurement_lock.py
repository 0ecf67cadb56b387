"""Measurements that nothing disturbs, on a machine where other processes work for the same search."""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

Item = TypeVar("Item")


class MeasurementLock:
    """A lock for many workers or one measurement at a time; it is freed when its process ends, in any way.

    A waiting measurement is let in before any work that comes later, so it never waits for ever.

    Args:
        folder: Folder where the files of the lock are made; the same for all processes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the lock for work that may go on beside other work, in pieces of up to some seconds."""
        with self._held("gate", fcntl.LOCK_SH):
            pass  # a measurement that waits holds the gate
        with self._held("room", fcntl.LOCK_SH):
            yield

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Hold the lock for a measurement: no work and no other measurement goes on beside it."""
        with self._held("gate", fcntl.LOCK_EX), self._held("room", fcntl.LOCK_EX):
            yield

    def pieces(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, and hold the lock for each as a piece of work."""
        for item in items:
            with self.working():
                yield item

    @contextmanager
    def _held(self, name: str, kind: int) -> Iterator[None]:
        with self._opened(name) as file:
            fcntl.flock(file, kind)
            yield

    def _opened(self, name: str) -> IO[str]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return (self.folder / f"{name}.lock").open("a")
