"""Several processes that train together as one job, in the environment that torchrun would give them.

The first of them is the runner of the job. On one machine it starts the others itself and ends with them; a cluster
starts all of them.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from service import catalogue, isolation
from service.queue.executors.executor import Ticket

_TOGETHER_S = 5.0
_LOOK_EVERY_S = 0.5
_SIGNS = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "tcpstore")


def process_count(ticket: Ticket) -> int:
    """Return the number of processes of a job.

    It is one per GPU and at least one per node, where the job is a function or has a stage that all processes take part
    in.
    """
    if ticket.call is None and not any(catalogue.resolve("stage", name).together for name in ticket.stages):
        return 1
    return max(ticket.resources.gpus, ticket.resources.nodes)


@contextmanager
def helpers(folder: Path, count: int) -> Iterator[None]:
    """Run the other processes of a job on this machine, while the first works.

    Nothing is started where a cluster or torchrun has started them already. If one of them dies, this process ends like
    a killed one, and the next attempt resumes the job from its checkpoint.

    Args:
        folder: The job folder, the argument of each process.
        count: Count of all processes, this one included.
    """
    if count <= 1 or "WORLD_SIZE" in os.environ:
        yield
        return
    shared = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    shared["MASTER_PORT"] = str(_free_port())
    command = isolation.command("service.queue.runner", str(folder))
    started = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(1, count)
    ]
    own = {**shared, "RANK": "0", "LOCAL_RANK": "0"}
    os.environ.update(own)
    done = threading.Event()
    threading.Thread(target=_die_with, args=(started, done), daemon=True).start()
    try:
        yield
    except Exception as error:
        if lost_another(error):
            time.sleep(_TOGETHER_S)
        raise
    finally:
        done.set()
        for name in own:
            del os.environ[name]
        for process in started:
            process.kill()
            process.wait()


def lost_another(error: BaseException | None) -> bool:
    """Return whether an error says that another process of the job is gone, which is no fault of the job."""
    while error is not None:
        text = f"{type(error).__name__} {error}".lower()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and any(sign in text for sign in _SIGNS):
            return True
        error = error.__cause__
    return False


def _die_with(started: Sequence[subprocess.Popen[bytes]], done: threading.Event) -> None:
    while not done.wait(_LOOK_EVERY_S):
        failed = [process for process in started if process.poll()]
        if failed and not done.is_set():
            print(f"a process of this job ended with status {failed[0].returncode}", file=sys.stderr, flush=True)
            for process in started:
                process.kill()
            os._exit(1)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
