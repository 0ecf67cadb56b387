"""Whole jobs from the command line: stages, resume after SIGKILL, limits, several processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from search_spaces import Architecture
from service.job.building import build_space
from service.job.loading import load_job
from supernets import Supernet
from tests.conftest import Once

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
TINY = [
    *("train.epochs=6", "train.batch_size=64", "train.checkpoint_every_s=0", "search.evaluations=40"),
    *("search.population=10", "search.calibration_examples=200", "search.objectives=[accuracy, macs]"),
    *("space.options.stage_widths=[8, 16]", "space.options.strides=[1, 2]", "space.options.stem_width=8"),
    *("latency.repeats=5", "latency.warmup_s=0.02", "tracking.enabled=false"),
]


def command(*arguments: str, sets: list[str] | None = None) -> list[str]:
    settings = [part for setting in (TINY if sets is None else sets) for part in ("--set", setting)]
    return [sys.executable, "-m", "service.cli", *arguments, *settings]


def start(*arguments: str, sets: list[str] | None = None, **environment: str) -> subprocess.Popen:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command(*arguments, sets=sets), env=env, text=True, cwd=ROOT, **pipes)


def finish(process: subprocess.Popen, status: int = 0) -> str:
    output, _ = process.communicate(timeout=500)
    assert process.returncode == status, output
    return output


def journal(folder: Path) -> list[dict]:
    lines = (folder / "search" / "journal.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def finished(once: Once) -> Path:
    """A job that is over, for tests that only read it."""
    return once("run", lambda place: finish(start("run", "quickstart", "--output", str(place / "job")))) / "job"


def test_a_job_leaves_a_measured_front_whose_weights_can_be_used(finished):
    front = json.loads((finished / "front.json").read_text())
    result = json.loads((finished / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["front_size"] == len(front["members"]) >= 2
    space = build_space(load_job(finished))
    for member in front["members"]:
        architecture = space.architecture(member["architecture"])
        assert isinstance(architecture, Architecture)
        assert member["values"]["macs"] == space.costs([architecture])["macs"][0]
        low, high = member["intervals"]["latency_ms"]
        assert 0 < low <= member["values"]["latency_ms"] <= high
        subnet = Supernet(space).extract(architecture)
        subnet.load_state_dict(load_file(finished / member["weights"]))
        assert torch.isfinite(subnet.eval()(torch.randn(2, *space.inputs[0].shape))).all()
    points = [(m["values"]["accuracy"], m["values"]["macs"]) for m in front["members"]]
    assert not any(a[0] >= b[0] and a[1] <= b[1] and a != b for a in points for b in points)
    for name in ("front.html", "front.png", "hypervolume.png", "candidates.csv"):
        assert (finished / "report" / name).stat().st_size > 0


def test_a_job_killed_at_random_moments_ends_like_one_never_killed(finished, tmp_path):
    """SIGKILL three times at moments drawn anew in every run of this test: same weights, same journal."""
    folder = tmp_path / "killed"
    kills = 0
    for _ in range(3):
        before = folder_progress(folder)
        process = start("run", "quickstart", "--output", str(folder))
        wait_for_progress(folder, before, process)
        time.sleep(float(np.random.default_rng().uniform(0.0, 2.0)))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 2
    finish(start("run", "quickstart", "--output", str(folder)))
    whole, killed = load_file(finished / "supernet.safetensors"), load_file(folder / "supernet.safetensors")
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert journal(finished) == journal(folder)


def folder_progress(folder: Path) -> int:
    files = (folder / "progress.jsonl", folder / "search" / "journal.jsonl")
    return sum(path.stat().st_size for path in files if path.exists())


def wait_for_progress(folder: Path, before: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 400
    while folder_progress(folder) <= before and process.poll() is None:
        assert time.monotonic() < deadline, "no progress in 400 s"
        time.sleep(0.05)


def test_a_finished_job_is_shown_again_and_not_repeated(finished, tmp_path):
    finished = shutil.copytree(finished, tmp_path / "job")
    before = folder_progress(finished)
    output = finish(start("run", str(finished), sets=[]))
    assert "Pareto front" in output
    assert folder_progress(finished) == before


def test_parts_start_from_each_other(finished, tmp_path):
    searched = tmp_path / "searched"
    sets = [*TINY, "search.searcher=random", "search.constraints.macs=<= 200000"]
    finish(start("search", "quickstart", "--from", str(finished), "--output", str(searched), sets=sets))
    evaluated = journal(searched)[1:]
    assert len(evaluated) == 40
    assert max(record["values"]["macs"] for record in evaluated) <= 200_000
    assert not (searched / "supernet.safetensors").exists()
    key = json.loads((searched / "front.json").read_text())["members"][0]["key"]
    assert key in finish(start("profile", str(searched), sets=[]))


def test_an_objective_of_ones_own_is_searched_and_limited(finished, tmp_path):
    own, folder = "examples.own_objective:ActivationMemory", tmp_path / "own"
    sets = [*TINY, f"search.objectives=[accuracy, '{own}']", f"search.constraints.{own}=<= 12"]
    finish(start("search", "quickstart", "--from", str(finished), "--output", str(folder), sets=sets))
    evaluated = journal(folder)[1:]
    values = [record["values"]["activations_kb"] for record in evaluated]
    assert min(values) > 0
    assert {r["status"] for r in evaluated if r["values"]["activations_kb"] > 12} == {"infeasible"}
    front = json.loads((folder / "front.json").read_text())
    assert all(member["values"]["activations_kb"] <= 12 for member in front["members"])


def test_retraining_improves_on_record_and_is_not_repeated(finished, tmp_path):
    finished = shutil.copytree(finished, tmp_path / "job")
    key = json.loads((finished / "front.json").read_text())["members"][0]["key"]
    finish(start("retrain", str(finished), "--member", key, "--epochs", "2", sets=[]))
    record = json.loads((finished / "retrain" / key / "result.json").read_text())
    assert record["key"] == key
    assert len(record["curve"]) == 2
    assert record["retrained_quality"] > record["inherited_quality"] - 5
    assert record["curve"][-1][1] == record["retrained_quality"]
    weights = (finished / "retrain" / key / "weights.safetensors").stat().st_mtime_ns
    finish(start("retrain", str(finished), "--member", key, "--epochs", "2", sets=[]))
    assert (finished / "retrain" / key / "weights.safetensors").stat().st_mtime_ns == weights


def test_an_impossible_latency_limit_is_refused_before_training(tmp_path):
    output = finish(
        start(
            *("run", "quickstart", "--output", str(tmp_path / "job")),
            sets=[*TINY, "search.constraints.latency_ms=<= 0.00001"],
        ),
        status=2,
    )
    assert "search.constraints.latency_ms: <= 0.00001 can't be met: the smallest architecture" in output
    assert not (tmp_path / "job" / "train").exists()


def test_two_processes_of_torchrun_train_one_supernet(tmp_path):
    folder = tmp_path / "pair"
    arguments = command("train", "quickstart", "--output", str(folder), sets=[*TINY, "train.epochs=1"])[1:]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launcher, env=env, capture_output=True, text=True, cwd=ROOT, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "supernet.safetensors").exists()
    events = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert [e["status"] for e in events if e["event"] == "stage"] == ["started", "finished"]
    assert done.stdout.count("job folder") == 1
