"""Stores that several processes make at once, and stores whose tables are of another MLflow or damaged."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app
from service.job.folder import read_json
from service.tracking.connection import connect
from service.tracking.schema import schema_fault
from service.tracking.sync import sync
from tests.service.synthetic_job import complete_job, start_job, train
from tests.service.tracking.test_sync import client_of

BEFORE_THE_NEWEST = "75868b020152"


@pytest.fixture(scope="module")
def older_store(once):
    """A store as an earlier MLflow left it."""

    def make(folder: Path) -> None:
        import sqlalchemy
        from alembic import command
        from mlflow.store.db.utils import _get_alembic_config
        from mlflow.store.tracking.dbmodels.initial_models import Base

        engine = sqlalchemy.create_engine(f"sqlite:///{folder / 'mlflow.db'}")
        Base.metadata.create_all(engine)
        config = _get_alembic_config(str(engine.url))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, BEFORE_THE_NEWEST)

    return once("older_store", make) / "mlflow.db"


def set_revision(database, revision):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()


def revision_of(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]


@pytest.mark.integration
def test_jobs_that_log_at_once_in_a_new_folder_wait_for_each_other(tmp_path):
    folders = [complete_job(tmp_path / "runs" / name, job_id=name * 32, name=name) for name in "abcd"]
    command = [sys.executable, "-m", "service.cli", "sync"]
    outputs = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    syncs = [subprocess.Popen([*command, f"runs/{folder.name}"], **outputs) for folder in folders]
    told = [process.communicate(timeout=500)[0] for process in syncs]
    assert [process.returncode for process in syncs] == [0] * 4, told
    assert all(read_json(folder / "tracking.json")["synced"] for folder in folders)
    client = client_of(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("espalier").experiment_id
    runs = client.search_runs([experiment], "tags.`nas.kind` = 'job'", max_results=100)
    assert sorted(run.info.run_name for run in runs) == list("abcd")


@pytest.mark.parametrize("revision", ["451aebb31d03", None])
def test_damaged_tables_are_told_with_their_mend(tmp_path, uri, monkeypatch, revision):
    database = tmp_path / "runs" / "mlflow.db"
    set_revision(database, revision) if revision else unversioned(database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE webhooks")  # so that MLflow takes it for a store that is not made yet
        connection.commit()
    job = train(start_job(tmp_path / "runs" / "job", uri=uri), range(1, 3))
    mend = f"mv {database} {database}.damaged && nas sync runs/*/"
    error = sync(job, final=False).error
    assert f"the tables of {database} are damaged" in error
    assert mend in error
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["ui", "--uri", uri])
    assert (shown.exit_code, len(shown.stderr.splitlines())) == (2, 1)
    assert mend in shown.stderr


def unversioned(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DELETE FROM alembic_version")
        connection.commit()


def test_tables_of_a_newer_mlflow_are_told_in_one_line_and_left_alone(tmp_path, uri):
    database = tmp_path / "runs" / "mlflow.db"
    set_revision(database, "feedfacef00d")
    job = start_job(tmp_path / "runs" / "job", uri=uri)
    for arguments in (["sync", str(job)], ["ui", "--uri", uri]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code in (1, 2)
        assert len(done.stderr.splitlines()) == 1
        assert "was made by a newer MLflow: its tables are of revision feedfacef00d" in done.stderr
    assert revision_of(database) == "feedfacef00d"


def test_tables_of_an_older_mlflow_are_told_with_the_command_that_upgrades_them(tmp_path, older_store):
    database = Path(shutil.copy(older_store, tmp_path))
    fault = schema_fault(database)
    assert f"was made by an older MLflow: its tables are of revision {BEFORE_THE_NEWEST}" in fault
    assert fault.endswith(f"cp {database} {database}.backup && mlflow db upgrade sqlite:///{database}")
    connect(f"sqlite:///{database}")  # MLflow itself upgrades a store that lacks whole tables
    assert revision_of(database) != BEFORE_THE_NEWEST
    assert schema_fault(database) is None


def test_folders_that_are_no_jobs_are_named_and_passed_over(tmp_path, uri, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = [complete_job(tmp_path / "runs" / name, uri=uri, job_id=name * 32, name=name) for name in "ac"]
    (tmp_path / "runs" / "b").mkdir()
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "job.json").write_text("{")
    (tmp_path / "runs" / "mlartifacts").mkdir(exist_ok=True)
    names = ["a", "b", "c", "damaged", "mlartifacts"]
    done = CliRunner().invoke(app, ["sync", *(f"runs/{name}" for name in names)])
    assert done.exit_code == 1
    assert "runs/b: holds no job.json" in done.stderr
    assert "runs/damaged/job.json: damaged" in done.stderr
    assert "runs/mlartifacts holds no job: skipped" in done.stdout
    assert [read_json(job / "tracking.json")["synced"] for job in jobs] == [True, True]
    assert CliRunner().invoke(app, ["sync", "runs/a", "runs/mlartifacts"]).exit_code == 0
    assert CliRunner().invoke(app, ["sync", "runs/b"]).exit_code == 2
    assert CliRunner().invoke(app, ["sync", "runs/mlartifacts"]).exit_code == 2
