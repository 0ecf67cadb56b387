"""Fixtures of stores: making the tables of one takes seconds, so that is done once and copied."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import service
from tests.service.synthetic_job import start_job


@pytest.fixture(scope="session")
def first_use(tmp_path_factory):
    """A working directory after the very first job, and what `sync` printed there: making the store takes seconds."""
    folder = tmp_path_factory.mktemp("first")
    start_job(folder / "job")
    code = (
        "from service.tracking.store import default_uri as u; from service.tracking.sync import sync;"
        "r = sync('job', final=False); print(r.error, u() == r.uri, end='')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(service.__file__).parents[1])}
    return folder, subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )


@pytest.fixture(scope="session")
def empty_store(first_use):
    """A database that has its tables, and an experiment with one job."""
    path = first_use[0] / "runs" / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE experiments SET name = 'first' WHERE name = 'espalier'")
        database.commit()
    return path


@pytest.fixture
def uri(empty_store, tmp_path):
    (tmp_path / "runs").mkdir()
    return f"sqlite:///{shutil.copy(empty_store, tmp_path / 'runs' / 'mlflow.db')}"
