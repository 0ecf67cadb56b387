"""A job folder from someone else neither reads nor writes outside itself, and runs no code."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from service.errors import InvalidJob
from service.job.preparation import saved_job
from tests.service.hostile.small_job import job, nas, require_clean  # noqa: F401 - a fixture

COMMANDS = (
    *(("run",), ("show",), ("report",), ("retrain", "--epochs", "0.1"), ("profile",), ("sync",)),
    ("export", "--all", "--format", "safetensors"),
)


def snapshot(folder: Path, but: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, but for one place."""
    paths = (path for path in folder.rglob("*") if but not in (path, *path.parents))
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


def refused(job: Path, command: tuple[str, ...]) -> str:  # noqa: F811
    """Run a command on the folder; return the line that refuses it. Nothing outside the folder has changed."""
    before = snapshot(job.parent, job)
    lines = require_clean(nas(command[0], job, *command[1:]), codes=(2,))
    assert snapshot(job.parent, job) == before
    return lines[0]


def change_front(job: Path, **changes: Any) -> None:  # noqa: F811
    content = json.loads((job / "front.json").read_text())
    content["members"][0].update(changes)
    (job / "front.json").write_text(json.dumps(content))


KEYS = ("../../x", "/tmp/x", "..", "a/b", "a\\b", "a\0b", "", "x" * 300)
READERS = [command for command in COMMANDS if command[0] not in ("run", "sync")]
"""`run` makes the front again, and `sync` says it in the line about the store."""


@pytest.mark.parametrize(
    ("key", "command"), [(key, READERS[number % len(READERS)]) for number, key in enumerate(KEYS)], ids=str
)
def test_a_key_is_no_path(job, key, command):  # noqa: F811
    change_front(job, key=key)
    assert "front.json: damaged (members.0.key: " in refused(job, command)


@pytest.mark.parametrize("command", READERS[-2:], ids=lambda one: one[0])
@pytest.mark.parametrize("weights", ["../secret", "/etc/hostname", "front/../../secret"])
def test_weights_lie_in_the_folder(job, weights, command):  # noqa: F811
    (job.parent / "secret").write_text("secret")
    change_front(job, weights=weights)
    assert "must be a path inside the job folder" in refused(job, command)


PLACES = ("report", "lock", "progress.jsonl", "front", "retrain", "report/front.html", "export", "search")


@pytest.mark.parametrize(
    ("place", "command"), [(place, COMMANDS[number % len(COMMANDS)]) for number, place in enumerate(PLACES)], ids=str
)
def test_links_that_lead_out_are_refused(job, place, command):  # noqa: F811
    outside = job.parent / "outside"
    outside.mkdir()
    (outside / "file").write_text("secret")
    path = job / place
    if path.exists():
        path.rename(job.parent / "moved")
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(outside if "." not in place and place != "lock" else outside / "file")
    assert f"{path}: is a link that leads out of the job folder" in refused(job, command)
    assert (outside / "file").read_text() == "secret"
    assert [entry.name for entry in outside.iterdir()] == ["file"]


def test_a_link_inside_the_folder_is_followed(job):  # noqa: F811
    (job / "supernet.safetensors").rename(job / "weights.safetensors")
    (job / "supernet.safetensors").symlink_to("weights.safetensors")
    assert require_clean(nas("show", job)) == []


class _Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("evil").absolute(),))


def test_no_file_of_the_folder_runs_code(job, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    code = pickle.dumps(_Evil())
    (job / "supernet.safetensors").unlink()
    (job / "train" / "checkpoint.pt").write_bytes(code)
    for path in job.glob("front/*.npz"):
        path.write_bytes(code)
    (job / "result.json").unlink()
    (job / "front.json").unlink()
    (job / "pynvml.py").write_text("from pathlib import Path; Path('evil').touch()")
    for command in COMMANDS:
        require_clean(nas(command[0], job, *command[1:]))
    assert not (tmp_path / "evil").exists()


def test_a_folder_that_is_no_job_is_called_so_whatever_links_it_has(tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "out").symlink_to("/etc")
    with pytest.raises(InvalidJob, match=r"holds no job\.json, so it is not a job folder"):
        saved_job(folder)
    os.mkfifo(folder / "job.json")
    with pytest.raises(InvalidJob, match=r"leads out of the job folder|is neither a file nor a folder"):
        saved_job(folder)
