"""Jobs of several processes on one machine."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.job.folder import write_json
from service.queue.executors.distributed import process_count
from service.queue.executors.executor import Resources, Ticket
from service.queue.executors.slurm_task import torch_environment
from tests.slurm.cluster import poll

ROOT = Path(__file__).parents[4]
pytestmark = pytest.mark.integration


def make(place: Path, **settings: object) -> Path:
    folder = place / "job"
    folder.mkdir()
    write_json(folder / "settings.json", {"epochs": 3, "epoch_s": 0.05, **settings})
    ticket = Ticket(name="pair", call="tests.slurm.work:sums", resources=Resources(gpus=2), directory=str(ROOT))
    write_json(folder / "queue.json", ticket.to_json())
    return folder


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "service.queue.runner", str(folder)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_job_with_two_gpus_is_two_processes_that_end_together(tmp_path):
    folder = make(tmp_path)
    runner = start(folder)
    _, said = runner.communicate()
    assert runner.returncode == 0, said
    assert json.loads((folder / "result.json").read_text())["sum"] == 3 * (1 + 2)
    assert not any(alive(int((folder / f"pid-{rank}").read_text())) for rank in (0, 1))


def test_the_death_of_one_process_is_an_attempt_and_the_next_goes_on(tmp_path):
    folder = make(tmp_path, epochs=20, epoch_s=0.3)
    runner = start(folder)
    assert poll((folder / "checkpoint.json").exists, 500)
    os.kill(int((folder / "pid-1").read_text()), signal.SIGKILL)
    runner.communicate()
    assert runner.returncode == 1
    assert not (folder / "result.json").exists()
    assert not alive(int((folder / "pid-0").read_text()))
    write_json(folder / "settings.json", {"epochs": 20, "epoch_s": 0.0})
    start(folder).communicate()
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["sum"]) == ("finished", 20 * 3)
    epochs = [json.loads(line)["epoch"] for line in (folder / "trace.jsonl").read_text().splitlines()]
    assert sorted(set(epochs)) == list(range(1, 21))


def test_only_what_trains_or_is_a_function_has_several_processes():
    four = Resources(gpus=4, nodes=2)
    assert process_count(Ticket(name="t", resources=four, stages=("train", "search"))) == 4
    assert process_count(Ticket(name="t", resources=four, stages=("search", "test"))) == 1
    assert process_count(Ticket(name="t", resources=Resources(nodes=2), call="a:b")) == 2
    assert process_count(Ticket(name="t", resources=Resources(), stages=("train",))) == 1


def test_slurm_tasks_get_the_environment_of_torchrun():
    slurm = {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    assert torch_environment(slurm) == {}
    assert torch_environment({}) == {}
