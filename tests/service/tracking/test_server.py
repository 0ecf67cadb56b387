"""The mirror over HTTP: a server killed in the middle of logging, answers that are lost, jobs that wait for it."""

import shutil
import sqlite3
import time
from contextlib import closing
from threading import Thread

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.job.folder import read_json, write_json
from service.job.tracking import TrackingConfig
from service.tracking.place import default_uri
from service.tracking.sync import catch_up, sync
from tests.service.mlflow_server import MlflowServer
from tests.service.synthetic_job import complete_job, finish, start_job, train, wide_search
from tests.service.tracking.test_sync import client_of, contents_of, history_of, runs_of

pytestmark = pytest.mark.integration

MEMBERS = 40


def wide_job(folder, uri):
    return finish(wide_search(train(start_job(folder, uri=uri), range(1, 61)), evaluations=400, members=MEMBERS))


def count(database, kind):
    query = "SELECT count(*) FROM tags WHERE key = 'nas.kind' AND value = ?"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        return connection.execute(query, (kind,)).fetchone()[0]


def comparable(contents):
    """What two logs of one job have in common: not the id of its run, nor the address of the server in its job.json."""
    runs = []
    for texts, metrics, artifacts, info in contents:
        names = {name: value for name, value in texts.items() if name != "nas.search"}
        runs.append((names, metrics, {path: size for path, size in artifacts.items() if path != "job.json"}, info))
    return sorted(runs, key=lambda run: run[0].get("nas.key", ""))


def test_server_killed_in_the_middle_of_logging_and_brought_back_has_every_run_once(tmp_path, empty_store):
    whole = tmp_path / "whole" / "mlflow.db"
    whole.parent.mkdir()
    shutil.copy(empty_store, whole)
    assert sync(wide_job(tmp_path / "a", f"sqlite:///{whole}"), final=True).synced

    database = tmp_path / "killed" / "mlflow.db"
    database.parent.mkdir()
    shutil.copy(empty_store, database)
    with MlflowServer(database) as server:
        job = wide_job(tmp_path / "b", server.uri)
        outcomes = []
        logging = Thread(target=lambda: outcomes.append(sync(job, final=True)))
        logging.start()
        deadline = time.monotonic() + 500
        while count(database, "member") < MEMBERS // 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        server.kill()
        logging.join()
        assert not outcomes[0].synced
        assert outcomes[0].error
        assert MEMBERS // 4 <= count(database, "member") < MEMBERS
        assert not sync(job, final=True).synced  # still away
        server.start()
        assert sync(job, final=True).synced
        assert read_json(job / "tracking.json")["error"] is None
        summary, members = runs_of(server.uri)
        assert len(members) == MEMBERS
        steps = [step for step, _ in history_of(server.uri, summary, "train/loss")]
        assert steps == list(range(1, 61))
        assert comparable(contents_of(server.uri)) == comparable(contents_of(f"sqlite:///{whole}"))


def test_runs_made_twice_by_a_request_that_was_sent_again_are_one_in_the_end(tmp_path, uri):
    job = complete_job(tmp_path / "job", uri=uri)
    sync(job, final=True)
    before = contents_of(uri)
    client, (summary, members) = client_of(uri), runs_of(uri)
    for run in (summary, *members.values()):
        tags = {name: value for name, value in run.data.tags.items() if name.startswith("nas.")}
        client.create_run(run.info.experiment_id, start_time=run.info.start_time - 1, tags=tags)
    assert sync(job, final=True).synced
    assert contents_of(uri) == before


def test_jobs_that_wait_are_logged_when_the_pages_are_opened(tmp_path, uri, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_uri() == uri
    waiting = complete_job(tmp_path / "runs" / "waiting")
    killed = train(start_job(tmp_path / "runs" / "killed", job_id="1" * 32), range(1, 4))
    sync(killed, final=False)
    elsewhere = complete_job(tmp_path / "runs" / "elsewhere", uri="http://127.0.0.1:9", job_id="2" * 32)
    quiet = complete_job(tmp_path / "runs" / "quiet", job_id="3" * 32)
    job = read_json(quiet / "job.json")
    job["job"]["tracking"]["enabled"] = False
    write_json(quiet / "job.json", job)
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "job.json").write_text("{")
    assert catch_up(tmp_path / "runs", uri) == [killed, waiting]
    assert catch_up(tmp_path / "runs", uri) == []
    assert not (elsewhere / "tracking.json").exists()
    client = client_of(uri)
    runs = client.search_runs([client.get_experiment_by_name("espalier").experiment_id], max_results=100)
    found = {run.data.tags["nas.job"]: run.info.status for run in runs if run.data.tags["nas.kind"] == "job"}
    assert found == {"0f" * 16: "FINISHED", "1" * 32: "KILLED"}


def test_several_folders_are_synced_by_one_command(tmp_path, uri):
    folders = [complete_job(tmp_path / name, uri=uri, job_id=name * 32, name=name) for name in "ab"]
    away = complete_job(tmp_path / "c", uri="http://127.0.0.1:9", job_id="c" * 32)
    done = CliRunner().invoke(app, ["sync", str(folders[0]), str(away), str(folders[1])])
    assert done.exit_code == 1
    assert f"sync: {away}: ConnectionError" in done.stderr
    for folder in folders:
        assert f"{folder} is in {uri}" in done.stdout
        assert read_json(folder / "tracking.json")["synced"]


@pytest.mark.parametrize("final", [True, False])
def test_two_searches_have_equal_names_and_colours_of_their_own(tmp_path, uri, final):
    for number, name in enumerate("ab", start=1):
        job = complete_job(tmp_path / name, uri=uri, job_id=str(number) * 32, name=name)
        front = read_json(job / "front.json")
        if name == "b":  # a front without the deep networks, so without the decision that only those have
            front["members"] = [m for m in front["members"] if "stage1.block3.kernel" not in m["architecture"]]
            write_json(job / "front.json", front)
        assert sync(job, TrackingConfig(uri=uri), final=final).synced
    client = client_of(uri)
    experiment = client.get_experiment_by_name("espalier").experiment_id
    members = client.search_runs([experiment], "tags.`nas.kind` = 'member'", max_results=100)
    assert len({frozenset(run.data.params) for run in members}) == 1
    assert len({frozenset(run.data.metrics) for run in members}) == 1
    assert {run.data.params["search"] for run in members} == {"111111 a", "222222 b"}
    colours = {run.data.tags["mlflow.runColor"]: run.data.params["search"] for run in members}
    assert len(colours) == 2
