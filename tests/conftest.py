"""Fixtures for all tests."""

import multiprocessing.process
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the data sets that are too large for the repository: $ESPALIER_DATA, or shared/data beside it."""
    folder = Path(os.environ.get("ESPALIER_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}; set ESPALIER_DATA")
    return folder


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
