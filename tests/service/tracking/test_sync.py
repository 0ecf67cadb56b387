"""The mirror in MLflow: complete, idempotent, and never in the way of a job."""

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from service.job.folder import read_json, write_json
from service.job.tracking import TrackingConfig
from service.queue.executors.executor import Ticket
from service.queue.queue import Queue
from service.queue.worker import is_to_be_logged
from service.report.job_report import write_report
from service.tracking.format import LONGEST_VALUE
from service.tracking.pages import serve, view_link
from service.tracking.place import default_uri
from service.tracking.store import Serving, server_command
from service.tracking.sync import sync
from tests.service.synthetic_job import (
    append_lines,
    complete_job,
    finish,
    learn,
    search,
    start_job,
    train,
    train_record,
)

AWAY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def logged(empty_store, once):
    """A job that is in MLflow as a whole, for tests that only look; and the address of the store."""

    def make(folder):
        job = complete_job(folder / "job", uri=f"sqlite:///{shutil.copy(empty_store, folder / 'mlflow.db')}")
        write_report(job)
        result = sync(job, final=True)
        assert (result.error, result.synced) == (None, True)

    folder = once("logged", make)
    return folder / "job", f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture
def job(tmp_path, uri):
    return complete_job(tmp_path / "job", uri=uri)


def client_of(uri):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs_of(uri, experiment="espalier"):
    """Summary run, members by key."""
    client = client_of(uri)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000)
    summaries = [run for run in runs if run.data.tags["nas.kind"] == "job"]
    assert len(summaries) == 1
    return summaries[0], {run.data.tags["nas.key"]: run for run in runs if run.data.tags["nas.kind"] == "member"}


def history_of(uri, run, metric):
    return [(point.step, point.value) for point in client_of(uri).get_metric_history(run.info.run_id, metric)]


def artifacts_of(uri, run):
    client, found, folders = client_of(uri), {}, [None]
    while folders:
        for entry in client.list_artifacts(run.info.run_id, folders.pop()):
            if entry.is_dir:
                folders.append(entry.path)
            else:
                found[entry.path] = entry.file_size
    return found


def contents_of(uri):
    """Everything that a repeated sync could double or change."""
    summary, members = runs_of(uri)
    runs = [summary, *members.values()]
    return [
        (
            {**run.data.params, **run.data.tags},
            {name: history_of(uri, run, name) for name in run.data.metrics},
            artifacts_of(uri, run),
            (run.info.status, run.info.start_time, run.info.end_time, len(run.inputs.dataset_inputs)),
        )
        for run in runs
    ]


def test_summary_run_holds_the_whole_job(logged):
    _, uri = logged
    summary, _ = runs_of(uri)
    assert summary.info.run_name == "digits-demo"
    assert summary.info.status == "FINISHED"
    assert (summary.info.end_time - summary.info.start_time) == 162_000
    params, metrics, tags = summary.data.params, summary.data.metrics, summary.data.tags
    assert params["seed"] == "7"
    assert params["train.lr"] == "0.1"
    assert params["space.options.depths"] == "[2, 3, 4]"
    assert params["environment.torch"] == "2.10"
    assert tags["mlflow.source.git.commit"] == "a" * 40
    assert metrics["evaluations"] == 30
    assert metrics["seconds/search"] == 30
    assert metrics["peak_memory_mb"] == 812.5
    assert [dataset.dataset.name for dataset in summary.inputs.dataset_inputs] == ["digits"]
    assert "evaluations" in tags["mlflow.note.content"]


def test_curves_are_logged_by_step(logged):
    job, uri = logged
    summary, _ = runs_of(uri)
    assert [step for step, _ in history_of(uri, summary, "train/loss")] == list(range(1, 61))
    assert history_of(uri, summary, "validation/largest_accuracy") == [(60, 91.0)]
    curve = json.loads((job / "search" / "hypervolume.json").read_text())["curve"]
    assert history_of(uri, summary, "search/hypervolume") == [tuple(point) for point in curve]


def test_artifacts_of_the_summary(logged):
    _, uri = logged
    summary, _ = runs_of(uri)
    found = artifacts_of(uri, summary)
    expected = {"job.json", "result.json", "front.json", "progress.jsonl", "candidates.csv", "candidates.json"}
    expected |= {"task.json", "search/journal.jsonl", "search/hypervolume.json"}
    expected |= {"report/front.html", "report/front.png", "report/hypervolume.png", "report/training.png"}
    assert set(found) == expected
    assert (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" / summary.info.run_id).is_dir()


def test_user_interface_finds_the_table_of_candidates(logged):
    _, uri = logged
    summary, _ = runs_of(uri)
    assert json.loads(summary.data.tags["mlflow.loggedArtifacts"]) == [{"path": "candidates.json", "type": "table"}]
    table = json.loads(Path(client_of(uri).download_artifacts(summary.info.run_id, "candidates.json")).read_text())
    assert {"key", "status", "accuracy", "latency_ms", "macs", "params", "architecture"} <= set(table["columns"])
    assert [len(row) for row in table["data"]] == [len(table["columns"])] * 30


def test_every_member_of_the_front_is_a_flat_run(logged):
    job, uri = logged
    summary, members = runs_of(uri)
    front = json.loads((job / "front.json").read_text())["members"]
    assert set(members) == {member["key"] for member in front}
    for member in front:
        run = members[member["key"]]
        assert run.info.run_name == f"digits-demo {member['key']}"
        assert run.info.status == "FINISHED"
        assert "mlflow.parentRunId" not in run.data.tags
        assert run.data.tags["nas.search"] == summary.info.run_id
        assert (run.data.tags["nas.job"], run.data.tags["nas.pareto"]) == ("0f" * 16, "true")
        low, high = member["intervals"]["latency_ms"]
        intervals = {"latency_ms_low": low, "latency_ms_high": high}
        assert run.data.metrics == {**member["values"], **intervals, "test_accuracy": member["test_quality"]}
        assert run.data.params["stage1.depth"] == str(member["architecture"]["stage1.depth"])
        looks = {"network.html", "network.svg"}
        assert set(artifacts_of(uri, run)) == {"architecture.json", f"{member['key']}.safetensors"} | looks


def test_members_have_equal_names_of_metrics_and_parameters(logged):
    _, uri = logged
    _, members = runs_of(uri)
    assert len({frozenset(run.data.params) for run in members.values()}) == 1
    assert len({frozenset(run.data.metrics) for run in members.values()}) == 1
    assert "-" in {run.data.params["stage1.block3.kernel"] for run in members.values()}


@pytest.mark.parametrize("remembered", [True, False])
def test_second_sync_changes_nothing(job, uri, remembered):
    write_report(job)
    first = sync(job, final=True)
    before = contents_of(uri)
    if not remembered:
        (job / "tracking.json").unlink()
    assert sync(job, final=True) == first
    assert contents_of(uri) == before


@pytest.mark.parametrize("remembered", [True, False])
def test_job_is_followed_while_it_runs(tmp_path, uri, remembered):
    job = train(start_job(tmp_path / "job", uri=uri), range(1, 11))
    assert not sync(job, final=False).synced
    assert runs_of(uri)[0].info.status == "RUNNING"
    if not remembered:
        (job / "tracking.json").unlink()
    train(job, range(11, 21))
    sync(job, final=False)
    assert [step for step, _ in history_of(uri, runs_of(uri)[0], "train/loss")] == list(range(1, 21))
    finish(search(job))
    assert sync(job, final=True).synced
    summary, members = runs_of(uri)
    assert summary.info.status == "FINISHED"
    assert members
    assert [step for step, _ in history_of(uri, summary, "train/loss")] == list(range(1, 21))


def test_steps_repeated_after_a_resume_are_logged_once(tmp_path, uri):
    job = train(start_job(tmp_path / "job", uri=uri), range(1, 11))
    sync(job, final=False)
    train(job, range(6, 16))
    sync(job, final=False)
    assert [step for step, _ in history_of(uri, runs_of(uri)[0], "train/loss")] == list(range(1, 16))


@pytest.mark.parametrize("remembered", [True, False])
def test_what_samplers_learn_is_logged_by_epoch_and_once(tmp_path, uri, remembered):
    job = learn(train(start_job(tmp_path / "job", uri=uri), range(1, 4)), epochs=8)
    sync(job, final=False)
    if not remembered:
        (job / "tracking.json").unlink()
    learn(job, epochs=12)  # a resumed training repeats what it did after its last checkpoint
    write_report(job)
    sync(job, final=True)
    summary, _ = runs_of(uri)
    names = {name for name in summary.data.metrics if name.startswith(("probability/", "examples/"))}
    assert names == {
        *(f"probability/{operation}" for operation in ("none", "nor_conv_1x1", "nor_conv_3x3")),
        *("examples/effective_fraction", "examples/mean_indicator"),
    }
    for name in names:
        assert [step for step, _ in history_of(uri, summary, name)] == list(range(1, 13))
    assert history_of(uri, summary, "probability/nor_conv_3x3")[-1] == (12, pytest.approx(0.7))
    assert any(path.endswith("probabilities.png") for path in artifacts_of(uri, summary))


def test_run_deleted_in_mlflow_is_made_again(tmp_path, uri):
    job = train(start_job(tmp_path / "job", uri=uri), range(1, 11))
    deleted = sync(job, final=False).run_id
    client_of(uri).delete_run(deleted)
    assert sync(job, final=False).run_id != deleted
    assert len(history_of(uri, runs_of(uri)[0], "train/loss")) == 10


@pytest.mark.parametrize(("status", "logged"), [("failed", "FAILED"), (None, "KILLED")])
def test_job_that_did_not_finish(tmp_path, uri, status, logged):
    job = train(start_job(tmp_path / "job", uri=uri), range(1, 4))
    if status:
        finish(job, status, "the loss diverged")
    assert sync(job, final=True).synced
    summary, members = runs_of(uri)
    assert (summary.info.status, members) == (logged, {})
    assert summary.data.tags.get("nas.reason") == ("the loss diverged" if status else None)


@pytest.mark.parametrize(
    ("status", "began", "logged"),
    [("failed", True, "FAILED"), ("failed", False, "FAILED"), ("lost", True, "KILLED"), ("cancelled", True, "KILLED")],
)
def test_job_that_ended_before_any_progress_is_logged_with_its_reason(tmp_path, uri, status, began, logged):
    job = queued(tmp_path, uri, began)
    finish(job, status, "no such data")
    assert is_to_be_logged(job)
    assert sync(job, final=True).synced
    summary, members = runs_of(uri)
    assert (summary.info.status, members) == (logged, {})
    assert summary.data.tags["nas.reason"] == "no such data"
    assert summary.info.end_time > summary.info.start_time
    assert not is_to_be_logged(job)


@pytest.mark.parametrize("status", ["cancelled", "skipped"])
def test_job_that_was_called_off_before_it_began_is_not_logged(tmp_path, uri, status):
    job = queued(tmp_path, uri, began=False)
    finish(job, status, "called off")
    assert not is_to_be_logged(job)


def test_job_that_is_tried_again_is_logged_again(tmp_path, uri):
    queue = Queue.open(tmp_path / "queue", create=True)
    job = queued(queue.folder, uri, began=True)
    finish(job, "failed", "no such data")
    assert sync(job, final=True).synced
    queue.retry(job)
    finish(job, "finished")
    assert is_to_be_logged(job)
    assert sync(job, final=True).synced
    assert runs_of(uri)[0].info.status == "FINISHED"


def queued(place, uri, began):
    job = start_job(place / "abc123-demo", uri=uri)
    write_json(job / "queue.json", Ticket(name="demo", directory=str(place)).to_json())
    if began:
        write_json(job / "process.json", {"pid": 1})
    return job


def test_killed_job_runs_again_when_resumed(tmp_path, uri):
    job = train(start_job(tmp_path / "job", uri=uri), range(1, 4))
    sync(job, final=True)
    sync(job, final=False)
    assert runs_of(uri)[0].info.status == "RUNNING"


def test_numbers_that_are_not_finite_are_never_logged(tmp_path, uri):
    job = search(train(start_job(tmp_path / "job", uri=uri), range(1, 4)))
    append_lines(job / "progress.jsonl", train_record(4, float("nan")), train_record(5, float("inf")), train_record(6))
    front = json.loads((job / "front.json").read_text())
    front["members"][0] |= {"test_quality": float("nan"), "intervals": {"latency_ms": [float("-inf"), float("inf")]}}
    (job / "front.json").write_text(json.dumps(front))
    assert sync(finish(job), final=True).error is None
    summary, members = runs_of(uri)
    assert [step for step, _ in history_of(uri, summary, "train/loss")] == [1, 2, 3, 6]
    assert [step for step, _ in history_of(uri, summary, "train/lr")] == [1, 2, 3, 4, 5, 6]
    assert set(members[front["members"][0]["key"]].data.metrics) == {"accuracy", "latency_ms", "macs", "params"}


def test_member_that_left_the_front_says_so(job, uri):
    sync(job, final=True)
    front = json.loads((job / "front.json").read_text())
    left = front["members"].pop()["key"]
    (job / "front.json").write_text(json.dumps(front))
    sync(job, final=True)
    assert {key: run.data.tags["nas.pareto"] for key, run in runs_of(uri)[1].items()}[left] == "false"


def test_long_values_and_odd_names_are_made_acceptable(tmp_path, uri):
    job = start_job(tmp_path / "job", uri=uri)
    description = json.loads((job / "job.json").read_text())
    description["job"]["space"]["options"] = {"größe@1": 1, "long": "x" * 9000}
    (job / "job.json").write_text(json.dumps(description))
    assert sync(job, final=False).error is None
    params = runs_of(uri)[0].data.params
    assert len(params["space.options.long"]) == LONGEST_VALUE
    assert params["space.options.gr__e_1"] == "1"


def test_two_jobs_share_an_experiment(tmp_path, uri):
    for number in (1, 2):
        job = complete_job(tmp_path / f"job{number}", uri=uri, job_id=str(number) * 32, name=f"job{number}")
        assert sync(job, final=True).error is None
    client = client_of(uri)
    runs = client.search_runs([client.get_experiment_by_name("espalier").experiment_id], max_results=1000)
    assert sum(run.data.tags["nas.kind"] == "job" for run in runs) == 2
    assert len({run.data.tags["nas.search"] for run in runs if run.data.tags["nas.kind"] == "member"}) == 2


def test_server_that_is_away_costs_seconds_and_is_made_up_for(tmp_path, uri):
    job = complete_job(tmp_path / "job", uri=AWAY)
    start = time.monotonic()
    result = sync(job, final=True)
    assert time.monotonic() - start < 300
    assert not result.synced
    assert result.error.startswith(f"ConnectionError: no MLflow server answers at {AWAY}")
    assert "\n" not in result.error
    saved = read_json(job / "tracking.json")
    assert (saved["uri"], saved["synced"], saved["error"]) == (AWAY, False, result.error)
    assert sync(job, TrackingConfig(uri=uri), final=True).synced
    assert read_json(job / "tracking.json")["error"] is None
    assert len(history_of(uri, runs_of(uri)[0], "train/loss")) == 60


def test_server_that_never_answers_costs_seconds(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        job = start_job(tmp_path / "job", uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        assert sync(job, final=False).error is not None
        assert time.monotonic() - start < 300


def test_database_that_cannot_be_written_is_an_error_line(tmp_path):
    (tmp_path / "mlflow.db").mkdir()
    job = start_job(tmp_path / "job", uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    start = time.monotonic()
    assert "cannot write" in sync(job, final=True).error
    assert time.monotonic() - start < 300


def test_missing_mlflow_is_an_error_line(job, uri, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    result = sync(job, final=True)
    assert result.error.startswith("ModuleNotFoundError")
    assert not read_json(job / "tracking.json")["synced"]
    monkeypatch.undo()
    assert sync(job, final=True).synced


def test_disabled_tracking_writes_nothing(job):
    assert not sync(job, TrackingConfig(enabled=False), final=True).synced
    assert not (job / "tracking.json").exists()


def test_folder_without_a_job_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no job\.json"):
        sync(tmp_path, final=True)


def test_first_use_makes_a_local_store_in_silence(first_use):
    folder, *printed = first_use
    assert printed == ["None True", ""]
    assert (folder / "runs" / "mlflow.db").exists()
    saved = read_json(folder / "job" / "tracking.json")
    assert (saved["uri"], saved["error"]) == (f"sqlite:///{folder}/runs/mlflow.db", None)


def test_store_of_a_job_is_remembered(job, uri, tmp_path, monkeypatch):
    job = train(start_job(tmp_path / "other"), range(1, 3))
    monkeypatch.chdir(tmp_path)
    first = sync(job, final=False)
    assert first.uri == default_uri() == uri
    monkeypatch.chdir("/")
    assert sync(job, final=False) == first


@pytest.mark.parametrize("wrong", [{"experiment": " "}, {"experiment": "x" * 501}, {"uri": "mlflow.db"}])
def test_wrong_configuration_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        TrackingConfig(**wrong)


def test_shared_view_has_scatter_and_parallel_coordinates(logged):
    _, uri = logged
    experiment = client_of(uri).get_experiment_by_name("espalier")
    state = experiment.tags["mlflow.sharedViewState.pareto"]
    assert state.startswith("deflate;")
    view = json.loads(zlib.decompress(base64.b64decode(state.removeprefix("deflate;"))))
    scatter, parallel = view["compareRunCharts"]
    assert (scatter["type"], scatter["xaxis"]["key"], scatter["yaxis"]["key"]) == ("SCATTER", "latency_ms", "accuracy")
    assert parallel["type"] == "PARALLEL"
    assert "stage1.depth" in parallel["selectedParams"]
    assert not {"fixed", "stage1.block3.kernel"} & set(parallel["selectedParams"])
    assert len(state) < 5000


def test_links_open_the_view(logged):
    _, uri = logged
    number = runs_of(uri)[0].info.experiment_id
    found = view_link(uri, "espalier")
    assert found.runs == f"http://127.0.0.1:5000/#/experiments/{number}/runs?workflowType=machine_learning"
    assert found.charts == f"{found.runs}&compareRunsMode=CHART&viewStateShareKey=pareto"
    with pytest.raises(LookupError, match="no experiment 'other'"):
        view_link(uri, "other")


def test_server_is_lean_and_local(uri):
    command = " ".join(server_command(uri, Serving()))
    assert f"mlflow server --backend-store-uri {uri} --host 127.0.0.1 --port 5000 --workers 1" in command
    assert "basic-auth" not in command
    assert "--allowed-hosts" not in command


def test_server_for_a_team_knows_its_names_and_asks_for_a_login(uri):
    command = server_command(uri, Serving(host="0.0.0.0", port=80, allowed_hosts="lab.example, nas", auth=True))
    options = dict(pairwise(command))
    assert options["--app-name"] == "basic-auth"
    assert options["--allowed-hosts"].startswith("lab.example,nas,lab.example:80,nas:80,localhost")
    assert "http://lab.example:80" in options["--cors-allowed-origins"].split(",")


def test_serving_nothing_is_refused(tmp_path, uri):
    with pytest.raises(FileNotFoundError, match="no MLflow store"):
        serve(f"sqlite:///{tmp_path / 'none.db'}")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="cannot be used"):
        serve(uri, Serving(port=taken.getsockname()[1]))


@pytest.mark.integration
def test_mlflow_is_not_imported_until_used():
    heavy = {"mlflow", "plotly", "matplotlib", "torch"}
    code = f"import sys, service.tracking.sync, service.report.job_report; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
