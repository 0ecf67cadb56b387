"""A job that is killed, or meets a full disk, at any file operation goes on to the result of one that is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def swept(folder: Path, fault: str, which: str) -> list[dict]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.service.hostile.sweep", str(folder), fault, which]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.integration
@pytest.mark.parametrize("fault", ["kill", "full"])
def test_some_file_operations(tmp_path, fault):
    tried = swept(tmp_path, fault, "6")
    assert len(tried) == 6
    assert tried[0]["of"] > 100
    assert [one for one in tried if one["wrong"]] == []


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("fault", ["kill", "full"])
def test_every_file_operation(tmp_path, fault):
    tried = swept(tmp_path, fault, "all")
    assert len(tried) == tried[0]["of"]
    assert [one for one in tried if one["wrong"]] == []
