"""A job of nothing but plug-ins does everything that a job of the catalogue does, and nothing it shows is of images."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from service.job.outcomes_file import read_breakdown, read_outcomes
from service.tracking.sync import sync
from tests.service.report.test_regression_job import FOREIGN, words_of

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
JOB = ROOT / "tests" / "plugin" / "job.yaml"
UNITS = "tests.plugin.hidden_units:HiddenUnits"
REPEATABLE = f'search.objectives=[r2, "{UNITS}"]'  # nothing measured in time, so that journals can be compared


def nas(folder: Path, *arguments: str) -> str:
    """What `nas` prints, run in a folder."""
    command = [sys.executable, "-m", "service.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}


@pytest.fixture(scope="module")
def finished(once):
    """The folder of a finished job, retrained and exported, and everything that was printed on the way."""

    def make(place):
        printed = nas(place, "run", str(JOB), "--output", "job")
        printed += nas(place, "retrain", "job", "--epochs", "2")
        printed += nas(place, "export", "job", "--all", "--format", "onnx,pt2,safetensors")
        printed += nas(place, "profile", "job", "--set", "latency.backend=onnxruntime")
        (place / "printed").write_text(printed)

    place = once("plug_ins", make)
    return place / "job", (place / "printed").read_text()


def members(job: Path) -> list[dict]:
    return json.loads((job / "front.json").read_text())["members"]


def test_front_keeps_the_limit_and_every_member_is_better_than_the_mean(finished):
    job, _ = finished
    assert members(job)
    for member in members(job):
        values = member["values"]
        assert sum(v for name, v in member["architecture"].items() if name.endswith(".width")) == values["hidden_units"]
        assert values["hidden_units"] <= 40
        assert 0.1 < values["r2"] < 1
        assert 0.1 < member["test_quality"] < 1
        assert values["latency_ms"] > 0
    lines = [json.loads(line) for line in (job / "search" / "journal.jsonl").read_text().splitlines()[1:]]
    assert len(lines) == 30
    assert all(line["values"]["hidden_units"] <= 40 for line in lines)
    assert all("tests.plugin.output_spread:OutputSpread" in line["values"] for line in lines)


def test_what_single_patients_gave_is_kept_and_its_mean_is_the_metric(finished):
    job, _ = finished
    sizes = json.loads((job / "front.json").read_text())["examples"]
    for member in members(job):
        outcomes = {split: read_outcomes(job, member["key"], split) for split in ("validation", "test")}
        assert {split: len(one.scores) for split, one in outcomes.items()} == sizes
        assert outcomes["test"].scores.mean() == member["test_quality"]
        assert outcomes["validation"].scores.mean() == pytest.approx(member["values"]["r2"], rel=1e-5)
        value, unit = read_breakdown(job, member["key"]).numbers["mean_absolute_error"]
        assert 0.1 < value < 1
        assert member["test_numbers"] == {"mean_absolute_error": [value, unit]}


def test_exports_run_in_fresh_processes_with_one_runtime_each(finished):
    job, _ = finished
    onnx = "import onnxruntime as o; run = lambda x: o.InferenceSession('model.onnx').run(None, {NAME: x})[0]"
    torch = (
        "import torch; run = lambda x: torch.export.load('model.pt2').module()(torch.from_numpy(x)).detach().numpy()"
    )
    for member in members(job):
        place = job / "export" / member["key"]
        card = json.loads((place / "card.json").read_text())
        example = np.load(place / "example.npz")
        name = card["input"]["name"]
        given, expected = (example[key] for key in (name, card["output"]["name"]))
        np.save(place / "given.npy", given)
        for load in (onnx.replace("NAME", repr(name)), torch):
            code = f"import numpy as n; {load}; n.save('out.npy', run(n.load('given.npy')))"
            subprocess.run([sys.executable, "-c", code], cwd=place, env={**os.environ, "PYTHONPATH": ""}, check=True)
            np.testing.assert_allclose(np.load(place / "out.npy"), expected, atol=1e-5)


def test_members_are_retrained_and_measured_in_another_runtime(finished):
    job, printed = finished
    records = json.loads((job / "retrain" / "retrain.json").read_text())
    assert {record["key"] for record in records} == {member["key"] for member in members(job)}
    assert all(0.1 < record["retrained_test_quality"] < 1 for record in records)
    assert "onnxruntime" in printed


def test_nothing_that_is_shown_speaks_of_images(finished):
    job, printed = finished
    place = str(job.parent)
    page = words_of((job / "report" / "front.html").read_text())
    for text in (printed.replace(place, ""), page.replace(place, "")):
        found = FOREIGN.search(text)
        assert found is None, text[max(0, found.start() - 60) : found.end() + 60]
    assert "r2" in page
    assert "hidden_units" in page


def test_mlflow_has_the_metrics_under_their_own_names(finished, uri, monkeypatch):
    from mlflow.tracking import MlflowClient

    from service.job.tracking import TrackingConfig

    job, _ = finished
    monkeypatch.chdir(job.parent)
    assert sync(job, TrackingConfig(uri=uri, experiment="diabetes"), final=True).error is None
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("diabetes")
    runs = client.search_runs([experiment.experiment_id])
    member_runs = [run for run in runs if run.data.tags["nas.kind"] == "member"]
    assert len(member_runs) == len(members(job))
    assert all({"r2", "test_r2", "hidden_units", "latency_ms"} <= set(run.data.metrics) for run in member_runs)
    for run in runs:
        for name in [*run.data.metrics, *run.data.params]:
            assert not re.search(r"accura|image", name), name


def test_a_job_killed_at_random_moments_ends_like_one_never_killed(tmp_path):
    settings = ["--set", REPEATABLE, "--set", "tracking.enabled=false"]
    nas(tmp_path, "run", str(JOB), "--output", "whole", *settings)
    command = [sys.executable, "-m", "service.cli", "run", str(JOB), "--output", "killed", *settings]
    generator = random.Random(0)
    for kill in range(4):
        log = (tmp_path / f"log{kill}").open("w")
        running = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=log, stderr=log)
        progress = tmp_path / "killed" / "progress.jsonl"
        before = progress.stat().st_size if progress.exists() else 0
        while running.poll() is None and not (progress.exists() and progress.stat().st_size > before):
            time.sleep(0.02)
        time.sleep(generator.uniform(0, 1.5))
        running.send_signal(signal.SIGKILL)
        running.wait()
    nas(tmp_path, "run", str(JOB), "--output", "killed", *settings)
    ours, theirs = (load_file(tmp_path / name / "supernet.safetensors") for name in ("whole", "killed"))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert journal(tmp_path / "whole") == journal(tmp_path / "killed")


def journal(job: Path) -> list[dict]:
    """The lines of a journal without what differs between two runs of one search: times."""
    lines = [json.loads(line) for line in (job / "search" / "journal.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_a_predictor_of_ones_own_serves_a_searcher_of_the_catalogue(tmp_path):
    settings = ("search.searcher=linas", "search.searcher_options={predictor: 'tests.plugin.nearest:Nearest'}")
    chosen = [word for setting in (*settings, REPEATABLE, "tracking.enabled=false") for word in ("--set", setting)]
    nas(tmp_path, "run", str(JOB), "--output", "job", *chosen)
    assert all(member["values"]["hidden_units"] <= 40 for member in members(tmp_path / "job"))


def test_a_limit_that_no_network_keeps_is_refused_before_any_work(tmp_path):
    command = [sys.executable, "-m", "service.cli", "run", str(JOB), "--output", "job"]
    impossible = ["--set", f"search.constraints.{UNITS}=<= 3"]
    done = subprocess.run(
        [*command, *impossible], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "hidden_units" in done.stderr + done.stdout or "HiddenUnits" in done.stderr + done.stdout
    assert not (tmp_path / "job" / "supernet.safetensors").exists()


def test_a_task_of_two_inputs_and_a_sequence_as_output_trains_and_searches(tmp_path):
    nas(tmp_path, "run", str(JOB.with_name("copying.yaml")), "--output", "job", "--set", "tracking.enabled=false")
    best = max(member["test_quality"] for member in members(tmp_path / "job"))
    assert best > 90
    assert all({"token_accuracy", "macs"} <= set(member["values"]) for member in members(tmp_path / "job"))
