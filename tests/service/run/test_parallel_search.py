"""Searches with several evaluation workers: killed workers, killed commands, resume."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from nas.search.journal import read_evaluations
from service.job.building import build_space
from service.job.loading import load_job
from service.job.preparation import save_job
from supernets import Supernet
from tests.service.run.test_run import TINY, finish, start

pytestmark = pytest.mark.integration

SEARCH = [*TINY, "search.evaluations=24", "search.population=8", "search.objectives=[accuracy, latency_ms, macs]"]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory) -> Path:
    """A job folder with a supernet of fresh weights."""
    folder = tmp_path_factory.mktemp("jobs") / "supernet"
    folder.mkdir()
    job = load_job("quickstart", SEARCH)
    save_job(job, folder)
    torch.manual_seed(0)
    Supernet(build_space(job)).save(folder / "supernet.safetensors")
    return folder


def children(process_id: int) -> list[int]:
    """Processes that a process started which evaluate: those that Python spawned, without its resource tracker."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process_id and "spawn_main" in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def evaluated(folder: Path) -> int:
    path = folder / "search" / "journal.jsonl"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def wait_for(condition, process, *, limit_s: float = 500.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_worker_is_replaced_and_a_killed_search_goes_on_with_as_many(untrained, tmp_path):
    folder = tmp_path / "found"
    arguments = ["search", "--from", str(untrained), "--output", str(folder)]
    process = start(*arguments, "--workers", "2", sets=SEARCH)
    wait_for(lambda: evaluated(folder) >= 3, process)
    again = "it is evaluated again"  # a process that is killed without a candidate is replaced without a word
    while again not in (folder / "progress.jsonl").read_text():
        before = evaluated(folder)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        wait_for(lambda least=before + 2: evaluated(folder) >= least, process)
    orphans = children(process.pid)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 500
    while any(Path(f"/proc/{orphan}").exists() for orphan in orphans):
        assert time.monotonic() < deadline, "workers live on without the search"
        time.sleep(0.05)
    kept = read_evaluations(folder / "search" / "journal.jsonl")[1]
    finish(start(*arguments, "--workers", "1", sets=SEARCH))
    header, evaluations = read_evaluations(folder / "search" / "journal.jsonl")
    assert header["workers"] == 2
    assert len(evaluations) == len({e.architecture for e in evaluations}) == 24
    assert evaluations[: len(kept)] == kept
    assert all(e.status == "ok" and "latency_ms" in e.intervals for e in evaluations)
