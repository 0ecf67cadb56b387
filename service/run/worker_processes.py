"""Work shared among processes, which end when this process ends, in any way."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Doing = Callable[[Task], Any]
AGAIN = "the same command goes on where it stopped, with less memory under --workers 1"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ISOLATED = "PYTHONSAFEPATH"  # Python only reads whether it is set


class WorkerEnded(Exception):
    """A process ended in the middle of its work, for example for lack of memory.

    Attributes:
        task: Task that it was doing.
        exit_code: Exit code; the negative number of a signal.
    """

    def __init__(self, task: Any, exit_code: int | None) -> None:
        super().__init__(f"a process ended with exit code {exit_code}")
        self.task, self.exit_code = task, exit_code


def cores() -> int:
    """Return how many this process may use."""
    return len(os.sched_getaffinity(0))


def computed(
    ready: Callable[[], Doing[Task]], tasks: Sequence[Task], *, workers: int, threads: int = 1
) -> Iterator[tuple[Task, Any]]:
    """Yield tasks and their answers, in the order in which they are done.

    Args:
        ready: Makes the function that does a task, once in each process; it can be sent to another process, like tasks
            and answers.
        tasks: Tasks, handed out in this order.
        workers: Processes; 1 works in this process, with all its threads.
        threads: Threads of each process.

    Raises:
        WorkerEnded: A process died.
    """
    if workers == 1 or len(tasks) <= 1:
        do = ready()
        yield from ((task, do(task)) for task in tasks)
        return
    with threads_of_children(threads):
        started = {
            worker.connection: worker for worker in (Worker[Task](ready) for _ in range(min(workers, len(tasks))))
        }
    waiting = iter(tasks)
    try:
        busy = {connection: worker.give(next(waiting)) for connection, worker in started.items()}
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                task = busy.pop(connection)
                yield task, started[connection].take(task)
                for following in waiting:
                    busy[connection] = started[connection].give(following)
                    break
    finally:
        for worker in started.values():
            worker.stop()


class Worker(Generic[Task]):
    """A process that does one task at a time."""

    def __init__(self, ready: Callable[[], Doing[Task]]) -> None:
        context = get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=partial(_serve, other, ready), daemon=True)
        with _undisturbed():
            self.process.start()
        other.close()

    def give(self, task: Task) -> Task:
        self.connection.send(task)
        return task

    def take(self, task: Task) -> Any:
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            self.process.join()
            raise WorkerEnded(task, self.process.exitcode) from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start a process that neither Ctrl-C nor a file of the current folder such as `queue.py` disturbs from the start.

    Ctrl-C reaches the whole group, and the parent decides. It waits until the process has started.
    """
    isolated, os.environ[_ISOLATED] = os.environ.get(_ISOLATED), "1"
    resource_tracker.ensure_running()  # starting the resource tracker later would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        _restore({_ISOLATED: isolated})
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, ready: Callable[[], Doing[Any]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # both are inherited, and not meant for the program
    os.environ.pop(_ISOLATED, None)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    do = ready()
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return  # the parent process is gone
        try:
            connection.send(do(task))
        except Exception as error:
            connection.send(error)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def threads_of_children(number: int) -> Iterator[None]:
    """Set the number of threads of processes that are started here; their libraries read it when they are loaded."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, str(number)))
    try:
        yield
    finally:
        _restore(before)


def _restore(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
