"""Faults at a chosen file operation: in a process of its own, every operation that changes a folder counts."""

import builtins
import errno
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

Fault = Callable[[], None]


def kill() -> None:
    """End this process, as a machine that runs out of memory does."""
    os.kill(os.getpid(), signal.SIGKILL)


def full() -> None:
    """Refuse, as a disk without room does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Operations:
    """Counts operations that change what lies below a folder; from number `at` on, each of them meets a fault.

    A file that is being written when the fault comes gets half of what was to be written.

    Args:
        root: The folder.
        at: Number of the first operation with the fault, from 1 on; 0 for none.
        fault: What happens.
    """

    def __init__(self, root: Path, at: int, fault: Fault) -> None:
        self.root, self.at, self.fault = str(root.resolve()), at, fault
        self.kinds: list[str] = []

    def begin(self, kind: str, path: Any = None) -> bool:
        """Count an operation; return whether it meets the fault."""
        if path is not None and not self._below(path):
            return False
        self.kinds.append(kind if path is None else f"{kind} {os.path.basename(os.fspath(path))}")
        return bool(self.at) and len(self.kinds) >= self.at

    def _below(self, path: Any) -> bool:
        if isinstance(path, int):
            return True
        return os.path.abspath(os.fsdecode(path)).startswith(self.root)

    def install(self) -> None:
        """Let every operation of this process count from now on."""
        for name, place in (("mkdir", 0), ("rename", 1), ("replace", 1), ("unlink", 0), ("remove", 0), ("rmdir", 0)):
            setattr(os, name, self._counted(name, getattr(os, name), place))
        for name in ("fsync", "ftruncate", "truncate"):
            setattr(os, name, self._counted(name, getattr(os, name), None))
        opened = io.open

        def open_counted(file: Any, mode: str = "r", buffering: int = -1, *more: Any, **named: Any) -> Any:
            if not set(mode) & set("wax+") or isinstance(file, int) or not self._below(file):
                return opened(file, mode, buffering, *more, **named)
            if self.begin("open", file):
                self.fault()
            raw = _File(self, os.fspath(file), mode.replace("b", "").replace("t", ""))
            if "b" in mode and not buffering:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *more, **named)

        builtins.open = io.open = open_counted  # type: ignore[assignment]

    def _counted(self, name: str, do: Callable[..., Any], place: int | None) -> Callable[..., Any]:
        frees = self.fault is full and name in (
            "unlink",
            "remove",
            "rmdir",
            "ftruncate",
            "truncate",
            "rename",
            "replace",
        )

        def counted(*arguments: Any, **named: Any) -> Any:
            path = None if place is None else arguments[place]
            if self.begin(name, path) and not frees:
                self.fault()
            return do(*arguments, **named)

        return counted


class _File(io.FileIO):
    """A file of which every write counts."""

    def __init__(self, operations: Operations, path: str, mode: str) -> None:
        self.operations = operations
        super().__init__(path, mode)

    def write(self, content: Any) -> int:
        if self.operations.begin("write", self.name):
            super().write(bytes(content)[: len(content) // 2])
            self.operations.fault()
        return super().write(content)
