"""Processes that evaluate the candidates of one search, each with the supernet loaded once."""

import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path

import torch

from nas.hardware.measurement_lock import MeasurementLock
from nas.objectives import Objective
from nas.search.evaluators import Candidate, Measured, measure
from service.job.device import torch_device
from service.job.job import Job
from service.run import threads, worker_processes
from service.run.context import JobContext
from service.run.events import Events
from supernets import Processes

_MOST_DEATHS = 3  # deaths of processes at one candidate, before it counts as failed
_BROKEN_DEVICE = "CUDA error"  # after such an error, nothing works in that process any more
Evaluate = Callable[[Candidate], Measured]


class EvaluationWorkers:
    """Evaluators in processes of their own. A process that ends is replaced, and its candidate evaluated again.

    Args:
        ready: Makes the evaluator of a process; it is called again where a process is replaced.
        names: Objectives that are evaluated there.
        slots: Candidates at the same time; if there are more than processes, they wait for one.
        warn: Receives a line for each process that ended.
    """

    def __init__(
        self,
        ready: Sequence[Callable[[], Evaluate]],
        *,
        names: Collection[str],
        slots: int | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.names, self.slots, self.warn = names, slots or len(ready), warn
        self._ready = list(ready)
        self._workers: list[worker_processes.Worker[Candidate] | None] = [None] * len(ready)
        self._waiting: deque[Candidate] = deque()
        self._busy: dict[int, Candidate] = {}
        self._deaths: Counter[Candidate] = Counter()

    def start(self, candidate: Candidate) -> None:
        self._waiting.append(candidate)
        self._hand_out()

    def finished(self) -> tuple[Candidate, Measured]:
        """Wait for any candidate that was started.

        Raises:
            Exception: The evaluator could not be made.
        """
        while True:
            self._hand_out()
            connections = {self._worker(place).connection: place for place in self._busy}
            place = connections[wait(list(connections))[0]]  # type: ignore[index]
            candidate = self._busy.pop(place)
            try:
                return candidate, self._worker(place).take(candidate)
            except worker_processes.WorkerEnded as ended:
                self._discard(place)
                if (failed := self._after_death(candidate, ended.exit_code)) is not None:
                    return candidate, failed

    def close(self) -> None:
        """End the processes."""
        for place in range(len(self._workers)):
            self._discard(place)

    def __enter__(self) -> "EvaluationWorkers":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _hand_out(self) -> None:
        for place in range(len(self._workers)):
            if self._waiting and place not in self._busy:
                candidate = self._waiting.popleft()
                try:
                    self._worker(place).give(candidate)
                except (BrokenPipeError, ConnectionError):  # it ended while it had nothing to do
                    self._discard(place)
                    self._worker(place).give(candidate)
                self._busy[place] = candidate

    def _after_death(self, candidate: Candidate, exit_code: int | None) -> Measured | None:
        """Have it evaluated again, or give it up."""
        self._deaths[candidate] += 1
        ended = f"the process that evaluated {candidate.architecture.key} ended (exit code {exit_code})"
        if self._deaths[candidate] >= _MOST_DEATHS:
            self.warn(f"{ended} for the {_MOST_DEATHS}rd time; it counts as failed")
            return Measured(reason=f"WorkerEnded: {_MOST_DEATHS} processes ended, the last with exit code {exit_code}")
        self.warn(f"{ended}; it is evaluated again")
        self._waiting.appendleft(candidate)
        return None

    def _worker(self, place: int) -> "worker_processes.Worker[Candidate]":
        worker = self._workers[place]
        if worker is None:
            most = threads.chosen() or worker_processes.cores()
            each = max(1, min(most, worker_processes.cores() // len(self._workers)))
            with worker_processes.threads_of_children(each):
                worker = self._workers[place] = worker_processes.Worker(self._ready[place])
        return worker

    def _discard(self, place: int) -> None:
        worker = self._workers[place]
        self._workers[place] = None
        if worker is not None:
            worker.stop()


@dataclass
class SubnetEvaluator:
    """The evaluator of candidates of a job in a process of its own; it is made there, with the first candidate.

    Args:
        folder: Folder of the job.
        job: What is searched.
        device: Device where this process works.
        inputs: File name -> folder of the job that it is taken from.
        names: Objectives to evaluate, in their order.
    """

    folder: Path
    job: Job
    device: str
    inputs: Mapping[str, Path]
    names: Sequence[str]
    _objectives: list[Objective] | None = field(default=None, init=False)

    def __call__(self, candidate: Candidate) -> Measured:
        if self._objectives is None:
            self._objectives = self._made()
        measured = measure(self._objectives, candidate)
        if _BROKEN_DEVICE in (measured.reason or ""):
            os._exit(70)  # another process may do better
        return measured

    def _made(self) -> list[Objective]:
        torch.set_num_threads(threads.chosen() or 1)
        device = torch_device(self.device)
        job = replace(self.job, device=self.device, tracking=replace(self.job.tracking, enabled=False))
        silent = Events(self.folder, job, lambda event: None, Processes())
        measurements = MeasurementLock(self.folder / "search")
        context = JobContext(self.folder, job, device, silent, silent.processes, self.inputs, measurements=measurements)
        return [objective for objective in context.problem.measured if objective.name in self.names]


@dataclass(frozen=True)
class Ready:
    """A factory of `SubnetEvaluator` in another process."""

    evaluator: SubnetEvaluator

    def __call__(self) -> Evaluate:
        return self.evaluator


def devices(job_device: str, workers: int) -> list[str]:
    """Return where each of several processes works: all CUDA devices in turn, unless the job names one."""
    device = torch_device(job_device)
    if device.type != "cuda":
        return [device.type] * workers
    if device.index is not None:
        return [str(device)] * workers
    return [f"cuda:{place % torch.cuda.device_count()}" for place in range(workers)]
