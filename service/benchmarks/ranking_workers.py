"""Several trainings of `nas benchmark ranking` at the same time, one process each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch

from nas.data import Data
from search_spaces import Architecture
from service.benchmarks import ranking_run
from service.benchmarks.ranking_run import Judging, Run
from service.errors import InvalidJob
from service.run import worker_processes


def in_processes(
    runs: Sequence[Run], architectures: Sequence[Architecture], judging: Judging, *, workers: int
) -> Iterator[Run]:
    """Yield the runs in the order in which they are done. Only this process writes to MLflow.

    Raises:
        InvalidJob: A process ended early.
    """
    threads = max(1, torch.get_num_threads() // workers)
    ready = partial(_Trainer, architectures, judging)
    try:
        for run, _ in worker_processes.computed(ready, runs, workers=workers, threads=threads):
            yield run
    except worker_processes.WorkerEnded as error:
        ended = f"{error.task.label}: its process ended (exit code {error.exit_code})"
        raise InvalidJob([f"{ended}; {worker_processes.AGAIN}"]) from error


@dataclass
class _Trainer:
    """A trainer that does one run after the other, with the images loaded once."""

    architectures: Sequence[Architecture]
    judging: Judging
    data: Data | None = field(default=None, init=False)

    def __call__(self, run: Run) -> None:
        self.data = self.data or ranking_run.data_of(run.job)
        tracking = replace(run.job.tracking, enabled=False)
        quiet = replace(run, job=replace(run.job, tracking=tracking))
        ranking_run.train_and_rank(quiet, self.architectures, self.judging, self.data, lambda event: None)
