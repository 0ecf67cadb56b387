"""The states of jobs in SLURM, asked for without waiting for the answer.

``squeue`` has to be enough: without an accounting database there is no ``sacct``, and its answer never comes.
``squeue`` forgets a job `MinJobAge` (300 s by default) after its end; then ``sacct`` is asked, where it exists.
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, NamedTuple

FORGOTTEN = "FORGOTTEN"  # neither waiting nor running, with an unknown end
OPEN = {
    *("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "COMPLETING", "STAGE_OUT"),
    *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
}
NOT_THE_JOBS_FAULT = {"PREEMPTED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "REVOKED"}
_PATIENCE_S = 60.0
_SURELY_LISTED_S = 60.0  # seconds after its end, in an ordinary cluster
_SQUEUE = ["squeue", "-h", "-r", "-t", "all", "-u", str(os.getuid()), "-o", "%i|%T|%N|%r|%j"]
_SACCT = ["sacct", "-n", "-X", "-P", "-o", "JobID,State,NodeList", "-j"]


class State(NamedTuple):
    """The state of one job in SLURM; `reason` says why it waits or how it ended."""

    state: str
    nodes: str = ""
    reason: str = ""
    name: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs, or may do so again."""
        return self.state in OPEN and not self.held_for_good

    @property
    def held_for_good(self) -> bool:
        """Whether it waits for an administrator, because a node could not start it."""
        return self.state == "PENDING" and self.reason.replace("_", " ").startswith("launch failed requeued held")


@dataclass
class JobStates:
    """The states of the jobs of this user, renewed from time to time.

    Args:
        every_s: Seconds between two questions.
    """

    every_s: float = 5.0
    listed: dict[str, State] | None = None  # by `squeue`, when it last answered
    asked: float = float("-inf")  # monotonic time of the question that `listed` answers
    ended: dict[str, State] = field(default_factory=dict)  # jobs that `squeue` has forgotten, by `sacct`

    def __post_init__(self) -> None:
        self._squeue: _Question | None = None
        self._sacct: _Question | None = None
        self._put = float("-inf")
        self._forgotten: list[str] = []

    def renew(self, jobs: Collection[str]) -> None:
        """Read the answers, and ask again when that is due, without waiting.

        Args:
            jobs: The ids to learn about, such as ``17`` or ``17_3``.
        """
        if self._squeue is not None and self._squeue.answered:
            self._read_squeue(jobs)
        if self._sacct is not None and self._sacct.answered:
            found, self._sacct = read_states(self._sacct.text or ""), None
            self.ended.update({job: found.get(job, State(FORGOTTEN)) for job in self._forgotten})
        if self._squeue is None and jobs and time.monotonic() >= self._put + self.every_s:
            self._put = time.monotonic()
            self._squeue = _Question(_SQUEUE)

    def of(self, job: str, since: float) -> State | None:
        """Return what is known of a job that was submitted at `since` (monotonic time); None where nothing is yet."""
        if self.listed is None or self.asked < since:
            return None
        return self.listed.get(job) or self.ended.get(job)

    def _read_squeue(self, jobs: Collection[str]) -> None:
        assert self._squeue is not None
        text, self._squeue = self._squeue.text, None
        if text is None:
            return  # the controller is away, so nothing is known
        before, self.listed = self.listed or {}, read_states(text)
        if self._put - self.asked < _SURELY_LISTED_S:  # an element of an array that is cancelled early is gone at once
            gone = {job for job, state in before.items() if state.state == "PENDING"} - self.listed.keys()
            self.ended.update({job: State("CANCELLED") for job in gone})
        self.asked = self._put
        if self._sacct is None:
            self._forgotten = [job for job in jobs if job not in self.listed and job not in self.ended]
            if self._forgotten:
                self._sacct = _Question([*_SACCT, ",".join(sorted({job.partition("_")[0] for job in self._forgotten}))])


class _Question:
    """A command that is started now and read when it has answered."""

    def __init__(self, command: Sequence[str]) -> None:
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = time.monotonic() + _PATIENCE_S
        with suppress(FileNotFoundError):  # not installed: the answer is empty
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.DEVNULL
            )

    @property
    def answered(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            return True
        if time.monotonic() > self._deadline:
            self._process.kill()
            self._process.wait()
            return True
        return False

    @property
    def text(self) -> str | None:
        """Return what it printed, or None where it failed."""
        with self._output:
            self._output.seek(0)
            return self._output.read().decode(errors="replace") if self._process and not self._process.wait() else None


def read_states(text: str) -> dict[str, State]:
    """Return states by job id, from lines of ``id|state|nodes`` and, of ``squeue``, ``|reason|name`` after it."""
    states = {}
    for line in text.splitlines():
        job, state, nodes, reason, name, *_ = [*line.strip().split("|"), "", "", "", ""]
        word = re.match(r"[A-Z_]+", state)  # of sacct: "CANCELLED by 1000"
        if word and re.fullmatch(r"\d+(_\d+)?", job):
            states[job] = State(word[0], nodes, "" if reason == "None" else reason, name)
    return states
