"""Notes between the queues of one machine: who holds a GPU or a core, who waits for one, and since when.

The locks of `slots` decide who has which device. These notes only say whose turn it is, and tell people what a job
waits for. They lie beside the locks, so that queues of all users see them. Nobody has to remove them: a note counts as
long as its process lives, or as it is kept fresh.
"""

import json
import os
import pwd
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from service.queue.executors import processes

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_FRESH_S = 10.0  # then a queue whose worker is gone or stopped loses its turn
_NAMED = 3  # holders in one message
_MOST_BYTES = 1 << 20
Note = TypeVar("Note", "Holder", "Waiter")


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A job that has devices.

    Args:
        pid: Number of its process.
        began: Start time of the process, so that a later one with the same number is not taken for it.
        boot: Boot of the machine that the number belongs to.
        user: User who runs it.
        queue: Its queue folder.
        job: Its id.
        slots: Names of the lock files that it holds.
    """

    pid: int
    began: int
    boot: str
    user: str
    queue: str
    job: str
    slots: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """A queue whose first job waits for devices of one kind.

    Args:
        since_s: Start in seconds of the clock that starts with the machine.
        user: User of the queue.
        queue: Its folder.
        slots: Names of the lock files, any of which would do.
    """

    since_s: float
    user: str
    queue: str
    slots: Sequence[str]


@dataclass(frozen=True)
class Neighbours:
    """The queues that share the lock files in a folder, seen from one of them.

    Args:
        folder: Folder of the lock files.
        queue: The queue folder.
    """

    folder: Path
    queue: Path

    @cached_property
    def _name(self) -> str:
        return f"{os.geteuid()}-{sha256(os.fsencode(self.queue)).hexdigest()[:12]}"

    # ---- waiting

    def wait(self, kind: str, slots: Sequence[str]) -> None:
        """Note that a job of this queue waits for slots; this has to be repeated every few seconds.

        Args:
            kind: Kind of devices; a queue waits for one job of each kind.
            slots: Names of lock files.
        """
        path, now = self.folder / f"waits-{self._name}-{kind}", processes.since_boot_s()
        known = _read(path, Waiter)
        if known is None or set(known.slots) != set(slots):
            since = now if known is None else known.since_s
            waiter = Waiter(since_s=since, user=_user(), queue=str(self.queue), slots=list(slots))
            _write(path, waiter)
        with suppress(OSError):
            os.utime(path, ns=(int(now * 1e9), int(now * 1e9)))  # on this clock: nobody can set it

    def leave(self, kind: str) -> None:
        """Say that no job of this queue waits any more; the next one that does is the last of the line."""
        with suppress(OSError):
            (self.folder / f"waits-{self._name}-{kind}").unlink()

    def ahead(self, kind: str, slots: Sequence[str]) -> Waiter | None:
        """Return who waits longer for one of these slots; None where it is the turn of this queue."""
        own, now = self.folder / f"waits-{self._name}-{kind}", processes.since_boot_s()
        mine = _read(own, Waiter) if _is_fresh(own, now) else None
        turn = (now, "") if mine is None else (mine.since_s, mine.queue)
        others = [
            waiter
            for path in self._notes("waits-")
            if not path.name.startswith(f"waits-{self._name}-") and _is_fresh(path, now)
            if (waiter := _read(path, Waiter)) is not None and not set(waiter.slots).isdisjoint(slots)
        ]
        first = min(others, key=lambda waiter: (waiter.since_s, waiter.queue), default=None)
        return first if first is not None and (first.since_s, first.queue) < turn else None

    # ---- holding

    def hold(self, job: str, pid: int, slots: Sequence[str]) -> None:
        """Say that a process of a job of this queue has slots; notes of processes that ended are taken away."""
        for path in self._notes(f"held-{os.geteuid()}-"):
            if (holder := _read(path, Holder)) is None or not _is_there(holder):
                with suppress(OSError):
                    path.unlink()
        began = processes.began(pid)
        if began is not None:
            place = {"user": _user(), "queue": str(self.queue), "job": job}
            holder = Holder(pid=pid, began=began, boot=processes.boot(), slots=list(slots), **place)
            _write(self.folder / f"held-{os.geteuid()}-{pid}", holder)

    def holders(self, slots: Sequence[str]) -> list[Holder]:
        """Return the jobs that have one of these slots, as far as that is known."""
        found = [holder for path in self._notes("held-") if (holder := _read(path, Holder)) is not None]
        return [holder for holder in found if not set(holder.slots).isdisjoint(slots) and _is_there(holder)]

    def held_by(self, slots: Sequence[str]) -> str:
        """Return who has these slots, in words."""
        found = self.holders(slots)
        if not found:
            return "another program"
        told = [f"pid {one.pid}, user {one.user}, queue {one.queue}, job {one.job}" for one in found[:_NAMED]]
        return "; ".join(told) + (f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else "")

    def _notes(self, beginning: str) -> Iterator[Path]:
        with suppress(OSError):
            yield from sorted(self.folder.glob(f"{beginning}*"))


def _is_there(holder: Holder) -> bool:
    return holder.boot == processes.boot() and processes.began(holder.pid) == holder.began


def _is_fresh(path: Path, now: float) -> bool:
    try:
        return -_FRESH_S < now - path.stat().st_mtime < _FRESH_S
    except OSError:
        return False


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _write(path: Path, note: Holder | Waiter) -> None:
    """Write a whole note that all users can read, or none if that is impossible."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with suppress(OSError):
        descriptor = os.open(temporary, flags, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o644)  # whatever the umask is
            json.dump(asdict(note), file)
        temporary.replace(path)


def _read(path: Path, kind: type[Note]) -> Note | None:
    """Return a note; None where it is gone or no note: other users write theirs."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return _readers()[kind].validate_json(file.read(_MOST_BYTES))
    except (OSError, ValueError):
        return None


@cache
def _readers() -> "dict[type[Any], TypeAdapter[Any]]":
    from pydantic import TypeAdapter

    return {kind: TypeAdapter(kind) for kind in (Holder, Waiter)}
