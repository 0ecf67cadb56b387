"""Processes on one device: killed ones, two that train as one, and workers of a search."""

import json
import multiprocessing
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from nas.search.journal import read_evaluations
from service.job.building import build_space
from service.job.loading import load_job
from service.job.preparation import save_job
from supernets import Processes, Supernet
from tests.gpu.work import long_training, train_as_one_of_two, train_together, train_until_killed
from tests.killing import kill_after_progress
from tests.service.run.test_run import ROOT, TINY, command, finish, start

pytestmark = [pytest.mark.gpu, pytest.mark.integration]


def gap(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Largest difference between weights."""
    assert a.keys() == b.keys()
    return max(float((a[name].cpu().double() - b[name].cpu().double()).abs().max()) for name in a)


def test_a_training_killed_twice_ends_like_one_that_was_not(tmp_path: Path, accelerator: torch.device) -> None:
    """As close as two trainings that nobody killed: CUDA adds some gradients in an order of its own."""
    whole, again = long_training().state_dict(), long_training().state_dict()
    for delay in np.random.default_rng().uniform(0.0, 0.5, size=2):
        kill_after_progress(train_until_killed, tmp_path, tmp_path / "checkpoint.pt", delay)
    process = multiprocessing.get_context("spawn").Process(target=train_until_killed, args=(str(tmp_path),))
    process.start()
    process.join()
    resumed = long_training(tmp_path)  # finished: it is read, not repeated
    other = gap(whole, again)
    if accelerator.type != "cuda":
        assert other == 0
    assert gap(whole, resumed.state_dict()) <= 10 * other


def test_two_processes_on_one_device_train_as_one(tmp_path: Path, accelerator: torch.device) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(train_as_one_of_two, args=(port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert gap(first, second) == 0
    assert gap(first, train_together(Processes()).state_dict()) <= 1e-7


def on(accelerator: torch.device) -> list[str]:
    return [*TINY, f"device={accelerator.type}"]


def test_torchrun_with_two_processes_on_one_device(tmp_path: Path, accelerator: torch.device) -> None:
    folder = tmp_path / "pair"
    sets = [*on(accelerator), "train.epochs=1"]
    arguments = command("train", "quickstart", "--output", str(folder), sets=sets)[1:]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    done = subprocess.run(launcher, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "supernet.safetensors").exists()
    events = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert [event["status"] for event in events if event["event"] == "stage"] == ["started", "finished"]


def test_workers_of_a_search_share_the_device(tmp_path: Path, accelerator: torch.device) -> None:
    sets = [*on(accelerator), "search.evaluations=16", "search.population=8"]
    sets += ["search.objectives=[accuracy, latency_ms, macs]"]
    untrained = tmp_path / "untrained"
    untrained.mkdir()
    job = load_job("quickstart", sets)
    save_job(job, untrained)
    torch.manual_seed(0)
    Supernet(build_space(job)).save(untrained / "supernet.safetensors")
    folder = tmp_path / "found"
    finish(start("search", "--from", str(untrained), "--output", str(folder), "--workers", "2", sets=sets))
    header, evaluations = read_evaluations(folder / "search" / "journal.jsonl")
    assert header["workers"] == 2
    assert len({evaluation.architecture for evaluation in evaluations}) == 16
    assert all(evaluation.status == "ok" for evaluation in evaluations)
