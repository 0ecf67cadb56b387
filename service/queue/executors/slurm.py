"""Jobs on a SLURM cluster.

Folders of one call that ask for the same are one array, written and sent by submitit. Its pickles are not used, neither
for jobs nor for results: a compute node starts `service.queue.executors.slurm_task`, which finds the job folder in a
JSON file. So nothing that another user could write is ever unpickled, results of earlier job ids cannot be taken for
those of new ones, and the runner has the signals to itself (submitit swallows SIGTERM, and what it does at a time limit
fails after a kill at the wrong moment).

Every submission has a folder of its own, private, in ``.slurm`` of the queue; ``state.json`` of a job names it. A job
is over when its result is there, whatever SLURM says. If SLURM says that a job has ended, and it has no result and a
free lock, it is submitted again. This costs an attempt, unless the job was pre-empted, lost its node or made progress.
When SLURM starts a job twice, as after a crash of its controller, the second runner finds the lock held or the result
there.
"""

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from service import isolation
from service.errors import InvalidJob
from service.job.folder import write_json, write_whole
from service.queue.executors.executor import (
    CANCELLED,
    FAILED,
    LOG,
    LOST,
    PROCESS,
    STATE,
    Ticket,
    attempts,
    end,
    end_cancelled,
    is_cancelled,
    is_over,
    read_object,
    read_ticket,
    try_lock,
)
from service.queue.executors.slurm_options import mistakes, parameters, require_slurm
from service.queue.executors.slurm_states import FORGOTTEN, NOT_THE_JOBS_FAULT, JobStates, State
from service.queue.executors.slurm_task import progress_mark

SUBMISSIONS = ".slurm"
_LONGEST_ARRAY = 1000
_IDS_PER_CALL = 500
_PATIENCE_S = 60.0
_LOOK_EVERY_S = 1.0  # file systems of clusters are slow, and shared
_AWAY = ("unable to contact slurm controller", "timed out", "connection refused", "connect failure")


class Refused(ValueError):
    """The reason why SLURM refuses a request."""


@dataclass
class _Place:
    """The place of a job in SLURM: one index of one submission, whose id is not known while it is being sent."""

    submission: str
    index: int
    array: str | None
    since: float  # monotonic time of the submission, or of its adoption

    @property
    def id(self) -> str | None:
        return f"{self.array}_{self.index}" if self.array else None


class Slurm:
    """The executor `slurm`.

    Args:
        queue: The folder of the queue, on a file system that compute nodes share.
        ask_every_s: Seconds between two questions to the controller.
        result_delay_s: Seconds that a result may take to appear here after its job has ended, because network file
            systems cache.
    """

    def __init__(self, queue: Path, *, ask_every_s: float = 5.0, result_delay_s: float = 60.0) -> None:
        self.queue = queue.resolve()
        self.result_delay_s = result_delay_s
        self.open: dict[Path, _Place] = {}
        self.states = JobStates(ask_every_s)
        self._next_look = float("-inf")
        self._ended: dict[Path, float] = {}  # since when SLURM says that a job without a result has ended
        self._described: dict[Path, State] = {}

    def check(self, ticket: Ticket) -> None:
        """Refuse a job that SLURM would not take, before anything is queued.

        Raises:
            InvalidJob: SLURM is not here, the request is wrong, or SLURM refuses it.
        """
        require_slurm()
        if "%" in str(self.queue) or not str(self.queue).isprintable():
            raise InvalidJob([f"--queue-folder: {self.queue}: SLURM wants a path without '%' and control characters"])
        found = list(mistakes(ticket.resources, ticket.options))
        if found:
            raise InvalidJob(found)
        try:
            _sbatch(self._submission_folder("check"), ticket, 1, "--test-only")
        except Refused as error:
            needs = ", ".join(f"{name} {value}" for name, value in asdict(ticket.resources).items() if value)
            raise InvalidJob([f"--queue: SLURM refuses this job ({needs}): {error}"]) from error

    def submit(self, folders: Sequence[Path]) -> None:
        require_slurm()
        fresh = []
        for folder in (folder.resolve() for folder in folders):
            if is_over(folder) or folder in self.open:
                continue
            place = self._adopted(folder)
            if place is not None:
                self.open[folder] = place
            else:
                fresh.append(folder)
        self._send(fresh)

    def cancel(self, folders: Sequence[Path]) -> None:
        ids = []
        for folder in (folder.resolve() for folder in folders):
            place = self.open.get(folder) or self._adopted(folder)
            if is_over(folder):
                continue
            if place is not None and place.id is not None:
                ids.append(place.id)
            end_cancelled(folder)
        _scancel(ids)

    def tick(self) -> list[Path]:
        if time.monotonic() < self._next_look:
            return list(self.open)
        self._next_look = time.monotonic() + min(_LOOK_EVERY_S, self.states.every_s)
        self._forget([folder for folder in self.open if is_over(folder)])
        self.states.renew([place.id or "" for place in self.open.values()])
        again = []
        for folder, place in list(self.open.items()):
            self._learn_id(place)
            state = self._state(place)
            if state is None or state.is_open:
                self._ended.pop(folder, None)
            else:
                if state.held_for_good and place.id is not None:
                    _scancel([place.id])
                with suppress(OSError):  # the disk is full and the like: the next tick tries again
                    again += [folder] if self._over_or_again(folder, place, state) else []
        self._send(again)
        self._describe()
        return list(self.open)

    # ---- what has ended -------------------------------------------------------------------------------------------

    def _over_or_again(self, folder: Path, place: _Place, state: State) -> bool:
        """Return whether a job that has ended by SLURM is to be sent again; else end it, or wait for it."""
        waited = time.monotonic() - self._ended.setdefault(folder, time.monotonic())
        may_change = place.id is not None and state.state in ("COMPLETED", FORGOTTEN)
        if (may_change or read_object(folder / PROCESS).get("failure")) and waited < self.result_delay_s:
            return False  # its result is not seen here yet, or the disk that was full has to be emptied first
        lock = try_lock(folder)
        if lock is None:
            return False  # it still runs: it was started twice, or on a node that the controller has lost
        with lock:
            if is_over(folder):
                return False
            if is_cancelled(folder) or state.state == "CANCELLED":
                by = "while it was running" if is_cancelled(folder) else "by scancel"
                end(folder, CANCELLED, f"cancelled {by}")
                return False
            counts = place.id is not None and self._counts(folder, state)
            if counts and attempts(folder) >= read_ticket(folder).max_attempts:
                end(folder, LOST, self._obituary(folder, place, state))
                return False
            self._note(folder, attempt=attempts(folder) + counts)
            return True

    def _counts(self, folder: Path, state: State) -> bool:
        """Return whether the run that has ended was one of the attempts of a job."""
        if state.state in NOT_THE_JOBS_FAULT - {"TIMEOUT"}:
            return False
        unfinished = state.state == "TIMEOUT" or read_object(folder / PROCESS).get("stopped")
        return not (unfinished and progress_mark(folder) != read_object(folder / STATE).get("mark"))

    def _obituary(self, folder: Path, place: _Place, state: State) -> str:
        times = f"{attempts(folder)} times" if attempts(folder) > 1 else "once"
        said = "no longer knows it" if state.state == FORGOTTEN else f"says {state.state}"
        where = f" on {state.nodes}" if state.nodes else ""
        output = ""
        with suppress(OSError):
            output = (self._submission_folder(place.submission) / f"{place.id}_0_log.out").read_text(errors="replace")
        errors = [line.strip() for line in output.splitlines() if "error:" in line]
        last = f" ({errors[-1][:200]})" if errors else ""
        return f"ended without a result {times}; SLURM {said}{where}{last}; see {LOG}"

    def _forget(self, folders: Sequence[Path]) -> None:
        """Forget jobs that are over; call off what SLURM, having lost sight of it, would start all the same."""
        places = [self.open.pop(folder) for folder in folders]
        waiting = [job for job, state in (self.states.listed or {}).items() if state.state == "PENDING"]
        _scancel([place.id for place in places if place.id in waiting and place.id])
        for folder in folders:
            self._ended.pop(folder, None)
            self._described.pop(folder, None)
        still = {place.submission for place in self.open.values()}
        for submission in {place.submission for place in places if place.submission} - still:
            sent = self.queue / SUBMISSIONS / submission
            if all(is_over(Path(path)) for path in _folders(sent)):
                shutil.rmtree(sent, ignore_errors=True)

    # ---- where jobs are -------------------------------------------------------------------------------------------

    def _state(self, place: _Place) -> State | None:
        if place.id is not None:
            state = self.states.of(place.id, place.since)
            other = state is not None and state.name and not state.name.endswith(f".{place.submission}")
            return State(FORGOTTEN) if other else state  # a controller that lost its memory counts from 1 again
        asked_since = self.states.listed is not None and self.states.asked >= place.since
        return State(FORGOTTEN) if asked_since else None  # the sender died before SLURM had it

    def _learn_id(self, place: _Place) -> None:
        """Note the id of a submission whose sender died before it could: SLURM knows it by name."""
        if place.array is None and place.submission:
            name = f".{place.submission}"
            job = next((job for job, state in (self.states.listed or {}).items() if state.name.endswith(name)), None)
            if job is not None:
                place.array = job.partition("_")[0]
                write_json(self._submission_folder(place.submission) / "submitted.json", {"id": place.array})

    def _adopted(self, folder: Path) -> _Place | None:
        """Return where an earlier process has submitted a job."""
        state = read_object(folder / STATE)
        submission, index = state.get("submission"), state.get("index")
        if not (isinstance(submission, str) and submission.isalnum() and isinstance(index, int)):
            return None
        sent = read_object(self.queue / SUBMISSIONS / submission / "submitted.json").get("id")
        return _Place(submission, index, str(sent) if sent else None, time.monotonic())

    def _submission_folder(self, submission: str) -> Path:
        (self.queue / SUBMISSIONS).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self.queue / SUBMISSIONS / submission
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _describe(self) -> None:
        """Write the last answer of SLURM to `state.json`, for people."""
        for folder, place in self.open.items():
            state = (self.states.listed or {}).get(place.id or "")
            if state is None or self._described.get(folder) == state:
                continue
            self._described[folder] = state
            waits = f"SLURM {place.id}: {state.reason}" if state.state == "PENDING" and state.reason else ""
            with suppress(OSError):
                self._note(folder, id=place.id, slurm=state.state, nodes=state.nodes, reason=waits)

    # ---- sending --------------------------------------------------------------------------------------------------

    def _send(self, folders: Sequence[Path]) -> None:
        """Send jobs as arrays, the most urgent first; what SLURM refuses has failed."""
        tickets = {folder: read_ticket(folder) for folder in folders}
        alike: dict[str, list[Path]] = {}
        for folder in sorted(folders, key=lambda folder: (-tickets[folder].priority, tickets[folder].order)):
            kind = json.dumps([tickets[folder].directory, parameters(tickets[folder])], sort_keys=True)
            alike.setdefault(kind, []).append(folder)
        for group in alike.values():
            for start in range(0, len(group), _LONGEST_ARRAY):
                self._send_array(group[start : start + _LONGEST_ARRAY], tickets[group[0]])

    def _send_array(self, folders: Sequence[Path], ticket: Ticket) -> None:
        submission = secrets.token_hex(4)
        place = self._submission_folder(submission)
        write_json(place / "jobs.json", [str(folder) for folder in folders])
        for index, folder in enumerate(folders):
            self._note(folder, submission=submission, index=index, mark=progress_mark(folder))
        try:
            array = _sbatch(place, ticket, len(folders))
        except Refused as error:
            for folder in folders:
                end(folder, FAILED, f"SLURM refused it: {error}")
            return
        if array is not None:
            write_json(place / "submitted.json", {"id": array})
        for index, folder in enumerate(folders):
            self.open[folder] = _Place(submission, index, array, time.monotonic())
            self._ended.pop(folder, None)

    def _note(self, folder: Path, **changed: Any) -> None:
        state = {"attempt": attempts(folder) or 1, "executor": "slurm", **read_object(folder / STATE)}
        write_json(folder / STATE, {**state, **changed}, durable=False)  # lost: the job is sent again, and runs once


def _folders(submission: Path) -> list[str]:
    """Return the job folders of a submission, as they were sent."""
    try:
        return json.loads((submission / "jobs.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def _scancel(jobs: Sequence[str]) -> None:
    for start in range(0, len(jobs), _IDS_PER_CALL):
        command = ["scancel", *jobs[start : start + _IDS_PER_CALL]]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)


def _sbatch(place: Path, ticket: Ticket, count: int, *flags: str) -> str | None:
    """Send `count` jobs of one kind as an array; return its id, or None where the controller can't be reached.

    Raises:
        Refused: SLURM does not take it.
    """
    import submitit

    executor = submitit.SlurmExecutor(place)
    name = f"{re.sub(r'[^A-Za-z0-9._-]', '_', ticket.name)[:60]}.{place.name}"
    executor.update_parameters(job_name=name, array_parallelism=count, **parameters(ticket))
    executor.parameters["map_count"] = count
    command = shlex.join(isolation.command("service.queue.executors.slurm_task", str(place)))
    script = write_whole(place / "array.sh", executor._make_submission_file_text(command, ""))
    try:
        done = subprocess.run(
            ["sbatch", "--parsable", f"--chdir={ticket.directory}", *flags, str(script)],
            env=_outside_of_a_job(),
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0:
        return done.stdout.partition(";")[0].strip()
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    said = [re.sub(r"^(sbatch|allocation failure|error): *", "", re.sub(r"^sbatch: *", "", line)) for line in lines]
    if any(sign in done.stderr.lower() for sign in _AWAY):
        return None
    raise Refused("; ".join(said) or f"sbatch ended with status {done.returncode}")


def _outside_of_a_job() -> dict[str, str]:
    """Return the environment of this process, without what SLURM or torchrun have told it where it is itself a job."""
    if "SLURM_JOB_ID" not in os.environ:
        return dict(os.environ)
    torch_names = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    told = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(told) and name not in torch_names}
    return kept | {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
