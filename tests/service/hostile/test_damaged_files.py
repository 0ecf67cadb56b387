"""A damaged file of a job folder is told in one line that names it, or made again; nothing else happens."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.hostile.small_job import job, nas, require_clean  # noqa: F401 - a fixture


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _marked(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def _blank_line(path: Path) -> None:
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:1], b"", *lines[1:]]))


def _bad_line(path: Path) -> None:
    lines = path.read_bytes().split(b"\n")
    middle = len(lines) // 2
    path.write_bytes(b"\n".join([*lines[:middle], b'{"half": ', *lines[middle:]]))


def _other_content(path: Path) -> None:
    path.write_text('["something", "else"]\n')


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = (_cut, _empty, _marked, _blank_line, _bad_line, _other_content, _folder)
FILES = (
    *("job.json", "front.json", "result.json", "task.json", "progress.jsonl", "supernet.safetensors"),
    *("search/journal.jsonl", "search/hypervolume.json", "train/checkpoint.pt", "front/*.safetensors"),
    *("retrain/*/result.json", "retrain/*/weights.safetensors", "retrain/*/curve.jsonl"),
)
COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "run": lambda folder: ["run", folder],
    "report": lambda folder: ["report", folder],
    "show": lambda folder: ["show", folder],
    "compare": lambda folder: ["compare", folder, folder.with_name("other")],
    "export": lambda folder: ["export", folder, "--format", "safetensors", "--all"],
    "retrain": lambda folder: ["retrain", folder, "--epochs", "0.1"],
    "search": lambda folder: ["search", "--from", folder, "--output", folder.with_name("search")],
    "profile": lambda folder: ["profile", folder, "--samples", "1"],
    "sync": lambda folder: ["sync", folder],
}
EVERY = [(file, damage, command) for file in FILES for damage in DAMAGES for command in COMMANDS]


def check(folder: Path, file: str, damage: Callable[[Path], None], command: str) -> None:
    """Damage a file, and see that the command works or refuses in one line, and that a run mends what can be."""
    path = sorted(folder.glob(file))[0]
    if command == "compare":
        shutil.copytree(folder, folder.with_name("other"))
    damage(path)
    done = nas(*COMMANDS[command](folder))
    lines = require_clean(done)
    assert all(str(folder) in line for line in lines), lines
    if command == "run" and not lines:
        again = nas("show", folder)
        assert require_clean(again) == [], again.output


@pytest.mark.parametrize(
    ("file", "damage", "command"),
    EVERY[:: len(COMMANDS) * len(DAMAGES) // 3 + 1],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_a_damaged_file_is_one_line_or_made_again(job, file, damage, command):  # noqa: F811
    check(job, file, damage, command)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("file", FILES)
def test_every_damage_of_every_file_is_one_line_or_made_again(job, file, damage, command):  # noqa: F811
    check(job, file, damage, command)


@pytest.mark.parametrize("file", ["front.json", "result.json", "search/hypervolume.json", "front/*.safetensors"])
def test_what_can_be_made_again_is_made_again(job, file):  # noqa: F811
    members = {m["key"]: m["test_quality"] for m in json.loads((job / "front.json").read_text())["members"]}
    weights = {path.name: path.read_bytes() for path in (job / "front").glob("*.safetensors")}
    path = sorted(job.glob(file))[0]
    path.write_bytes(b"")
    done = nas("run", job)
    assert require_clean(done) == [], done.output
    assert "made again" in done.output
    again = {m["key"]: m["test_quality"] for m in json.loads((job / "front.json").read_text())["members"]}
    assert again == members
    assert {path.name: path.read_bytes() for path in (job / "front").glob("*.safetensors")} == weights


def test_missing_weights_of_a_member_are_made_again_as_the_message_says(job):  # noqa: F811
    path = sorted((job / "front").glob("*.safetensors"))[0]
    before = path.read_bytes()
    path.unlink()
    shutil.rmtree(job / "retrain")
    lines = require_clean(nas("export", job, "--format", "safetensors", "--all"), codes=(2,))
    assert f"finish the job with: nas run {job}" in lines[0]
    assert nas("run", job).exit_code == 0
    assert path.read_bytes() == before
    assert nas("export", job, "--format", "safetensors", "--all").exit_code == 0


def test_a_damaged_supernet_is_made_again_from_the_checkpoint(job):  # noqa: F811
    before = (job / "supernet.safetensors").read_bytes()
    _cut(job / "supernet.safetensors")
    (job / "front.json").unlink()
    done = nas("run", job)
    assert require_clean(done) == [], done.output
    assert (job / "supernet.safetensors").read_bytes() == before


def test_a_search_of_the_supernet_of_another_job_trains_none(job, tmp_path):  # noqa: F811
    folder = tmp_path / "search"
    assert nas("search", "--from", job, "--output", folder).exit_code == 0
    (folder / "front.json").unlink()
    lines = require_clean(nas("run", folder), codes=(2,))
    assert f"nas search {folder} --from DIR" in lines[0]
    assert nas("search", folder, "--from", job).exit_code == 0
    assert not (folder / "train").exists()


def test_a_bad_line_of_a_log_is_left_out_and_one_of_a_journal_is_named(job):  # noqa: F811
    log = job / "progress.jsonl"
    log.write_bytes(log.read_bytes() + b'{"event": "tra')
    (job / "result.json").unlink()
    done = nas("run", job)
    assert require_clean(done) == [], done.output
    assert json.loads((job / "result.json").read_text())["stages"]["train"] > 0
    _bad_line(job / "search" / "journal.jsonl")
    (job / "front.json").unlink()
    lines = require_clean(nas("run", job), codes=(2,))
    assert "journal.jsonl" in lines[0]
    assert "sed -i" in lines[0]
