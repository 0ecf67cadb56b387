"""Several trainings of `nas benchmark ranking` at the same time, a process each; they end when this process does."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from search_spaces import Architecture
from service import ranking_run
from service.jobs import InvalidJob
from service.ranking_run import Judging, Run


def in_processes(
    runs: Sequence[Run], architectures: Sequence[Architecture], judging: Judging, *, workers: int
) -> Iterator[Run]:
    """The runs in the order in which they are done. MLflow is left to this process: one writer is enough.

    Raises:
        InvalidJob: A process ended early.
    """
    names = [architecture.to_json() for architecture in architectures]
    crew = [_Worker(names, judging, threads=max(1, torch.get_num_threads() // workers)) for _ in runs[:workers]]
    waiting = iter(runs)
    try:
        busy = {worker.connection: (worker, worker.give(next(waiting))) for worker in crew}
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                worker, run = busy.pop(connection)
                worker.take(run)
                yield run
                following = next(waiting, None)
                if following is not None:
                    busy[connection] = worker, worker.give(following)
    finally:
        for worker in crew:
            worker.stop()


class _Worker:
    """A process that does one run at a time."""

    def __init__(self, names: list[dict[str, Any]], judging: Judging, *, threads: int) -> None:
        context = get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, names, judging, threads), daemon=True)
        self.process.start()
        other.close()

    def give(self, run: Run) -> Run:
        self.connection.send(run)
        return run

    def take(self, run: Run) -> None:
        try:
            answer = self.connection.recv()
        except EOFError as error:
            self.process.join()
            hint = "the same command goes on where it stopped, with less memory under --workers 1"
            raise InvalidJob([f"{run.label}: its process ended (exit code {self.process.exitcode}); {hint}"]) from error
        if isinstance(answer, Exception):
            raise answer

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _serve(connection: Connection, names: list[dict[str, Any]], judging: Judging, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the process that asked decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    architectures = [Architecture.from_json(name) for name in names]
    data = None
    while True:
        try:
            run: Run = connection.recv()
        except (EOFError, OSError):
            return
        try:
            data = data or ranking_run.data_of(run.job)
            tracking = replace(run.job.tracking, enabled=False)
            quiet = replace(run, job=replace(run.job, tracking=tracking))
            ranking_run.train_and_rank(quiet, architectures, judging, data, lambda event: None)
            connection.send(None)
        except Exception as error:
            connection.send(error)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
