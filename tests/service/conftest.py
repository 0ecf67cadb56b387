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
from tests.conftest import Once
from tests.service.synthetic_job import start_job


@pytest.fixture(scope="session")
def first_use(once: Once) -> tuple[Path, str, str]:
    """A working directory after the very first job, what `sync` printed there and its errors: that takes seconds."""

    def make(folder: Path) -> None:
        start_job(folder / "job")
        code = (
            "from service.tracking.place import default_uri as u; from service.tracking.sync import sync;"
            "r = sync('job', final=False); print(r.error, u() == r.uri, end='')"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(service.__file__).parents[1])}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        (folder / "stdout").write_text(done.stdout)
        (folder / "stderr").write_text(done.stderr)

    folder = once("first_use", make)
    return folder, (folder / "stdout").read_text(), (folder / "stderr").read_text()


@pytest.fixture(scope="session")
def empty_store(once: Once, first_use: tuple[Path, str, str]) -> Path:
    """A database that has its tables, and an experiment with one job."""

    def make(folder: Path) -> None:
        path = shutil.copy(first_use[0] / "runs" / "mlflow.db", folder)
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE experiments SET name = 'first' WHERE name = 'espalier'")
            database.commit()

    return once("empty_store", make) / "mlflow.db"


@pytest.fixture
def uri(empty_store, tmp_path):
    (tmp_path / "runs").mkdir()
    return f"sqlite:///{shutil.copy(empty_store, tmp_path / 'runs' / 'mlflow.db')}"
