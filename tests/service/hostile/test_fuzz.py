"""Whatever random changes make of the files that commands read: a result, or one line, in bounded time."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Once
from tests.service.hostile.fuzz import Fuzz, run
from tests.service.hostile.mutations import changed_tree
from tests.service.hostile.small_job import JOB, make

ROOT = Path(__file__).parents[3]


@pytest.fixture
def whole(once: Once, tmp_path: Path) -> Path:
    """A folder with the finished small job in `whole/job`."""
    (tmp_path / "whole").symlink_to(once("small_job", make))
    return tmp_path


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_changed_files_end_in_a_result_or_one_line(whole: Path, first: int) -> None:
    fuzz = Fuzz(whole)
    kinds = [number for number in range(first, first + 10) if fuzz.kinds[number % 10] != fuzz.latency_table]
    assert [wrong for number in kinds if (wrong := fuzz.tried(number)) is not None] == []


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(7200)
def test_a_thousand_changes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.service.hostile.fuzz", str(tmp_path), "1000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *failed, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert failed == []
    assert last == {"tried": 1000, "failed": 0}


def test_changes_follow_from_their_number_and_change_something() -> None:
    made = [changed_tree(JOB, random.Random(number)) for number in range(50)]
    assert str(made) == str([changed_tree(JOB, random.Random(number)) for number in range(50)])
    assert sum(str(one) != str(JOB) for one in made) > 45


def test_a_fault_is_found(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(whole / "whole" / "job", whole / "job")
    monkeypatch.setattr("service.commands.shared.show_result", lambda folder: {}["nothing"])
    assert "KeyError: 'nothing'" in str(run(["run", str(whole / "job")]))
