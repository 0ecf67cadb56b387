"""Odd surroundings: commands work in them, or say in one line why they cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.surroundings import mistakes
from tests.service.queues import ROOT, nas

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def run(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(nas(*arguments), cwd=cwd, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize("missing", ["RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_a_part_of_the_variables_of_torchrun_is_a_mistake(missing: str) -> None:
    assert mistakes(TORCHRUN) == []
    [line] = mistakes({name: value for name, value in TORCHRUN.items() if name != missing})
    assert line.startswith(f"WORLD_SIZE is 2, but {missing} is not set: ")


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE: must be a number, as torchrun sets it, got 'two'"),
        ({"RANK": "-1"}, "RANK: must be a number, as torchrun sets it, got '-1'"),
        ({"RANK": "1"}, "RANK: must be less than WORLD_SIZE, which is 1, got 1"),
        ({**TORCHRUN, "RANK": "2"}, "RANK: must be less than WORLD_SIZE, which is 2, got 2"),
    ],
)
def test_variables_of_torchrun_that_cannot_be_are_one_line(variables: dict[str, str], line: str) -> None:
    [told] = mistakes(variables)
    assert told.startswith(line)
    assert mistakes({}) == mistakes({"WORLD_SIZE": "1", "RANK": "0"}) == []


@pytest.mark.integration
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "ascii:strict"])
def test_help_is_printed_whatever_the_encoding_can_say(tmp_path: Path, encoding: str) -> None:
    done = run("--help", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"nas watch" in done.stdout


@pytest.mark.integration
def test_help_is_printed_in_the_plainest_locale(tmp_path: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = run("submit", "--help", cwd=tmp_path, **plain)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert done.stdout.isascii()


@pytest.mark.integration
def test_a_deleted_current_folder_is_one_line(tmp_path: Path) -> None:
    code = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"
    (tmp_path / "gone").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *nas("jobs")],
        cwd=tmp_path / "gone",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("nas: the current folder was deleted")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.integration
def test_a_world_size_without_a_rank_ends_before_a_folder_is_made(tmp_path: Path) -> None:
    done = run("train", "quickstart", "--output", "my", cwd=tmp_path, WORLD_SIZE="2")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
