"""What jobs of the tests do: functions that a ticket calls with the job folder and an observer."""

import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Observer = Callable[[dict[str, Any]], None]


def epochs(folder: Path, observe: Observer) -> dict[str, Any]:
    """Counts epochs, each of them noted in `trace.jsonl` and kept in `checkpoint.json`; goes on where it stopped.

    Fails where another job uses its GPU meanwhile.
    """
    settings = json.loads((folder / "settings.json").read_text())
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    with (folder.parent / f"gpu-{gpu}").open("a") as device:
        if gpu != "none":
            fcntl.flock(device, fcntl.LOCK_EX | fcntl.LOCK_NB)
        checkpoint = folder / "checkpoint.json"
        done = json.loads(checkpoint.read_text())["epoch"] if checkpoint.exists() else 0
        for epoch in range(done + 1, settings["epochs"] + 1):
            time.sleep(settings["epoch_s"])
            with (folder / "trace.jsonl").open("a") as trace:
                note = {"epoch": epoch, "pid": os.getpid(), "gpu": gpu, "time": time.time()}
                trace.write(json.dumps(note) + "\n")
            temporary = checkpoint.with_suffix(".tmp")
            temporary.write_text(json.dumps({"epoch": epoch}))
            temporary.replace(checkpoint)
            observe({"event": "epochs", "done": epoch, "total": settings["epochs"]})
    return {"epochs": settings["epochs"], "gpu": gpu}


def deaf(folder: Path, observe: Observer) -> None:
    """Hears no SIGTERM and has a child that hears none."""
    import signal
    import subprocess

    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "600"])  # what is ignored here is ignored there
    (folder / "child").write_text(str(child.pid))
    time.sleep(600)


def sums(folder: Path, observe: Observer) -> dict[str, Any]:
    """All processes of a job add up a number an epoch, as gradients are; the first keeps the checkpoint."""
    import torch
    import torch.distributed as dist

    settings = json.loads((folder / "settings.json").read_text())
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    (folder / f"pid-{rank}").write_text(str(os.getpid()))
    checkpoint = folder / "checkpoint.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"epoch": 0, "sum": 0.0}
    dist.barrier()
    while state["epoch"] < settings["epochs"]:
        time.sleep(settings["epoch_s"])
        part = torch.tensor(float(rank + 1))
        dist.all_reduce(part)
        state = {"epoch": state["epoch"] + 1, "sum": state["sum"] + part.item()}
        if rank == 0:
            with (folder / "trace.jsonl").open("a") as trace:
                trace.write(json.dumps({"epoch": state["epoch"], "pid": os.getpid(), "time": time.time()}) + "\n")
            temporary = checkpoint.with_suffix(".tmp")
            temporary.write_text(json.dumps(state))
            temporary.replace(checkpoint)
        observe({"event": "sums", "done": state["epoch"], "total": settings["epochs"]})
    dist.barrier()
    dist.destroy_process_group()
    return {"sum": state["sum"], "processes": int(os.environ["WORLD_SIZE"])}
