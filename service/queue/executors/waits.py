"""The reasons why jobs of this machine wait, and whose turn it is: `local` asks before it takes GPUs and cores.

The first job of each line of a queue (jobs that need GPUs, and jobs that only need cores) waits for devices; the others
wait for it. Its reason is kept in the queue folder, so that everyone who looks at the queue can see it.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from service.job.folder import write_json
from service.queue.executors.executor import Resources, read_object
from service.queue.executors.neighbours import Neighbours
from service.queue.executors.slots import Slots, Taken

WAITS = ".waits.json"
_NOUNS = {"gpus": ("GPU", "GPUs"), "cpus": ("core", "cores")}


def line_of(gpus: int) -> str:
    """Return the line of its queue in which a job with this number of GPUs waits: gpus or cpus."""
    return "gpus" if gpus else "cpus"


@dataclass
class Waits:
    """The reasons why the jobs of one queue wait.

    Args:
        queue: The queue folder.
        slots: The devices of this machine.
    """

    queue: Path
    slots: Slots
    reasons: dict[str, str] = field(default_factory=dict)  # of the first job of each line
    _put_off: dict[str, str] = field(default_factory=dict)
    _noted: dict[str, Any] | None = None

    @cached_property
    def neighbours(self) -> Neighbours:
        return Neighbours(self.slots.folder, self.queue)

    def take(self, line: str, resources: Resources) -> Taken | None:
        """Return all slots that the first job of a line needs, where they are free and it is its turn."""
        names = self.slots.names(resources)
        for kind, some in names.items():
            before = self.neighbours.ahead(line, some)
            if before is not None:
                who = f"user {before.user}, queue {before.queue}, which has waited longer"
                self._wait(line, some, f"{self._wanted(kind, resources)}, first the turn of {who}")
                return None
        taken = self.slots.take(resources)
        if taken is not None:
            self.neighbours.leave(line)
            return taken
        kind = self.slots.lacking(resources)
        some = names[kind]
        self._wait(line, some, f"{self._wanted(kind, resources)}, held by {self.neighbours.held_by(some)}")
        return None

    def _wait(self, line: str, slots: list[str], reason: str) -> None:
        self.neighbours.wait(line, slots)
        self.reasons[line] = reason

    def _wanted(self, kind: str, resources: Resources) -> str:
        number = resources.gpus if kind == "gpus" else self.slots.wanted_cpus(resources)
        return f"{number} {_NOUNS[kind][number != 1]}"

    def hold(self, folder: Path, pid: int, taken: Taken) -> None:
        """Note that the process of a job has slots."""
        self._put_off.pop(folder.name, None)
        self.neighbours.hold(folder.name.partition("-")[0], pid, taken.names())

    def put_off(self, folder: Path, why: str) -> None:
        """Note that a job waits a while by itself."""
        self._put_off[folder.name] = f"is tried again in a while: {why}"

    def note(self, first: Mapping[str, Path]) -> None:
        """Keep what the first job of each line waits for; lines where none waits are left."""
        for line in _NOUNS:
            if line not in first:
                self.neighbours.leave(line)
        waiting = {line: [folder.name, self.reasons[line]] for line, folder in first.items()}
        noted = {"first": waiting, "put_off": self._put_off}
        if noted != self._noted:
            with suppress(OSError):  # it is only for people
                write_json(self.queue / WAITS, noted, durable=False)
                self._noted = {"first": waiting, "put_off": dict(self._put_off)}


def reason_of(queue: Path) -> "Reasons":
    """Return what the jobs of a queue wait for, as its worker last noted it."""
    noted = read_object(queue / WAITS)
    first, put_off = noted.get("first"), noted.get("put_off")
    return Reasons(first if isinstance(first, dict) else {}, put_off if isinstance(put_off, dict) else {})


@dataclass(frozen=True)
class Reasons:
    """The reasons why the jobs of a queue wait.

    Args:
        first: Line -> name of its first job, and what that waits for.
        put_off: Name of a job -> why it was put off for a while.
    """

    first: Mapping[str, Any]
    put_off: Mapping[str, Any]

    def of(self, name: str, line: str) -> str:
        """Return what a job waits for; empty where this is not known.

        Args:
            name: Name of its folder.
            line: Line in which it waits.
        """
        if name in self.put_off:
            return str(self.put_off[name])
        known = self.first.get(line)
        if not isinstance(known, list) or len(known) != 2 or not all(isinstance(text, str) for text in known):
            return ""
        return known[1] if known[0] == name else f"behind {known[0].partition('-')[0]}"
