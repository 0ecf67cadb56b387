"""The process that SLURM starts on a compute node: ``service.queue.executors.slurm_task SUBMISSION``.

A submission is a folder whose ``jobs.json`` lists job folders; this process takes the one of its array index and
becomes its runner. Where a job has several processes, each is started this way, with the environment that torchrun
would give it. A runner that stopped cleanly, because its time was nearly up or another job was more urgent, queues its
own job again, so nobody has to look after it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from service.queue.executors.executor import ACTIVITY, CANCEL, LOCK, LOG, PROCESS, STATE, TICKET
from service.queue.runner import STOPPED, run_job
from service.run import threads

_MOST_RESTARTS = 1000
_NO_PROGRESS = {ACTIVITY, CANCEL, LOCK, LOG, PROCESS, STATE, TICKET, "job.json", "progress.jsonl"}


def main() -> int:
    """Run one job; return the exit status."""
    threads.wait_briefly()
    submission = Path(sys.argv[1])
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    folder = Path(json.loads((submission / "jobs.json").read_text(encoding="utf-8"))[index])
    os.environ.update(torch_environment(os.environ))
    rank = int(os.environ.get("SLURM_PROCID", "0"))
    _log_into(folder / (LOG if rank == 0 else f"log-{rank}.txt"))
    # The warning before the time limit, which submitit asks for, is one more request to stop cleanly.
    signal.signal(signal.SIGUSR2, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
    before = progress_mark(folder)
    status = run_job(folder)
    if status == STOPPED and rank == 0 and progress_mark(folder) != before:
        _queue_again()
    return status


def progress_mark(folder: Path) -> int:
    """Return a mark of the last progress that a next run continues from; equal marks mean no progress."""
    newest = 0
    for path in folder.rglob("*"):
        if path.name not in _NO_PROGRESS and not path.name.startswith("."):
            with suppress(FileNotFoundError):
                newest = max(newest, path.stat().st_mtime_ns if path.is_file() else 0)
    return newest


def torch_environment(slurm: Mapping[str, str]) -> dict[str, str]:
    """Return what torchrun would set, from what SLURM has set; nothing where there is one process only."""
    world_size = int(slurm.get("SLURM_NTASKS", "1"))
    if world_size == 1:
        return {}
    return {
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size // int(slurm.get("SLURM_JOB_NUM_NODES", "1"))),
        "RANK": slurm["SLURM_PROCID"],
        "LOCAL_RANK": slurm["SLURM_LOCALID"],
        "MASTER_ADDR": _first_host(slurm),
        "MASTER_PORT": str(20_000 + int(slurm["SLURM_JOB_ID"]) * 7 % 12_000),  # below those that systems assign
    }


def _first_host(slurm: Mapping[str, str]) -> str:
    """Return the node of the first process: by its name, or by address where the name means nothing here."""
    names = subprocess.run(
        ["scontrol", "show", "hostnames", slurm["SLURM_JOB_NODELIST"]], capture_output=True, text=True, check=True
    )
    first = names.stdout.split()[0]
    try:
        socket.getaddrinfo(first, None)
    except socket.gaierror:
        return slurm["SLURM_LAUNCH_NODE_IPADDR"]  # the batch script runs there
    return first


def _log_into(path: Path) -> None:
    """Let all that this process and its children print go to the end of a file."""
    with path.open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


def _queue_again() -> None:
    """Tell SLURM to start this job again, unless SLURM itself ends the job, as after ``scancel``.

    If SLURM refuses, the process that serves the queue submits the job again.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it comes as soon as SLURM has agreed
    job = os.environ["SLURM_JOB_ID"]
    with suppress(subprocess.TimeoutExpired, FileNotFoundError):
        state = subprocess.run(
            ["squeue", "-h", "-j", job, "-o", "%T"], capture_output=True, text=True, timeout=60, check=False
        )
        if state.stdout.strip() == "RUNNING" and int(os.environ.get("SLURM_RESTART_COUNT", "0")) < _MOST_RESTARTS:
            subprocess.run(["scontrol", "requeue", job], timeout=60, check=False)


if __name__ == "__main__":
    sys.exit(main())
