"""Work shared out to processes; they end when this process does, however it ends."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerEnded(Exception):
    """A process ended in the middle of its work, as for want of memory."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def computed(work: Callable[[Task], Any], tasks: Sequence[Task], *, workers: int) -> Iterator[tuple[Task, Any]]:
    """Tasks and what `work` makes of them, in the order in which they are done.

    Args:
        work: What each process has for itself; it can be sent to another process, and so can tasks and answers.
        tasks: Handed out in this order.
        workers: Processes of one thread each; 1 works here, with as many threads as there are.

    Raises:
        WorkerEnded: A process died.
    """
    if workers == 1 or len(tasks) <= 1:
        yield from ((task, work(task)) for task in tasks)
        return
    with _single_threads():
        crew = {worker.connection: worker for worker in (Worker[Task](work) for _ in range(min(workers, len(tasks))))}
    waiting = iter(tasks)
    try:
        busy = {connection: worker.give(next(waiting)) for connection, worker in crew.items()}
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                yield busy.pop(connection), crew[connection].take()
                for following in waiting:
                    busy[connection] = crew[connection].give(following)
                    break
    finally:
        for worker in crew.values():
            worker.stop()


class Worker(Generic[Task]):
    """A process that does one task at a time."""

    def __init__(self, work: Callable[[Task], Any]) -> None:
        context = get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=partial(_serve, other, work), daemon=True)
        self.process.start()
        other.close()

    def give(self, task: Task) -> Task:
        self.connection.send(task)
        return task

    def take(self) -> Any:
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            self.process.join()
            raise WorkerEnded(f"a process ended with exit code {self.process.exitcode}") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return  # the process that asked is gone
        try:
            connection.send(work(task))
        except KeyboardInterrupt:
            return
        except Exception as error:
            connection.send(error)


@contextmanager
def _single_threads() -> Iterator[None]:
    """Processes that are started here have one thread: this is read when their libraries are loaded."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
