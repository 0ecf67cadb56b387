"""Fixtures for all tests."""

import fcntl
import multiprocessing.process
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_MEMORY, _ROOM = Path("/dev/shm"), 4 << 30
Once = Callable[[str, Callable[[Path], Any]], Path]


def pytest_configure() -> None:
    """Compute with one thread, so that results do not depend on the machine, in the processes of tests as well.

    Folders of tests are kept in memory where there is room: their many synchronised small writes wait for a disk.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
        there = os.statvfs(_MEMORY)
        if there.f_bavail * there.f_frsize > _ROOM and not there.f_flag & os.ST_NOEXEC:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """A function that makes a folder once for all tests and all workers of a run: `once(name, make)`.

    Tests that change such a folder change a copy.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    shared.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], Any]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the data sets that are too large for the repository: $ESPALIER_DATA, or shared/data beside it."""
    folder = Path(os.environ.get("ESPALIER_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}; set ESPALIER_DATA")
    return folder


@pytest.fixture(autouse=True)
def _no_store_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log in the local store, whatever the environment of the tests says; what a test sets there ends with it."""
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN", "INSECURE_TLS", "SERVER_CERT_PATH", "CLIENT_CERT_PATH"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)


@pytest.fixture(autouse=True)
def _numbers_are_seeded() -> None:
    """Begin every test with the same random numbers, whichever tests ran before it."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _processes_are_for_integration_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that starts a Python process without being marked `integration`, so that the rest stays fast."""
    if request.node.get_closest_marker("integration") or request.node.get_closest_marker("slow"):
        return
    start = subprocess.Popen.__init__

    def refuse(*arguments: Any, **more: Any) -> None:
        raise AssertionError("this test starts a Python process: mark it `integration`")

    def popen(self: Any, command: Any, *arguments: Any, **more: Any) -> None:
        first = command if isinstance(command, str) else os.fspath(command[0])
        if first == sys.executable or "python" in Path(first.split()[0]).name:
            refuse()
        start(self, command, *arguments, **more)

    monkeypatch.setattr(subprocess.Popen, "__init__", popen)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
