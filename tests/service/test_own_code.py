"""Code beside the job file is imported from anywhere: by the command, its processes, the queue, and a later resume."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import catalogue, own_code
from service.commands.submit import _drafts
from service.errors import InvalidJob
from service.job.loading import load_job
from service.job.preparation import prepare_folder
from service.queue.executors.executor import Ticket
from service.queue.queue import Draft
from tests.service.queues import make_queue

ROOT = Path(__file__).parents[2]
CODE = """
import torch
from tests.plugin.elastic_mlp import elastic_mlp
from tests.plugin.hidden_units import HiddenUnits


def space(features=10, outputs=1):
    return elastic_mlp(features=features, outputs=outputs, widths=(4, 8))


class Units(HiddenUnits):
    def __init__(self, space, subnets):  # made where networks are, in the workers too
        super().__init__(space)
        self.source, self.serial = "measured", False
"""
JOB = """
name: own
device: cpu
data: {source: "tests.plugin.diabetes:diabetes", validation_fraction: 0.25, test_fraction: 0.25}
space: {name: "beside_the_job:space"}
train: {epochs: 1, batch_size: 64}
search: {objectives: [r2, "beside_the_job:Units"], evaluations: 4, population: 2, calibration_examples: 32}
tracking: {enabled: false}
"""


@pytest.fixture
def own_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job file with a module of its own beside it, seen from another folder; the search path is put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "beside_the_job", raising=False)
    for name, text in (("beside_the_job.py", CODE), ("my.yaml", JOB)):
        (tmp_path / "study" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "study" / name).write_text(text)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "study" / "my.yaml"


def nas(place: Path, *arguments: str) -> str:
    return python("service.cli", place, *arguments)


def python(module: str, place: Path, *arguments: str) -> str:
    """What a module prints where nothing of the current folder is imported by accident."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_folder_of_the_job_comes_before_the_current_one_and_both_after_what_is_installed(own_job: Path) -> None:
    before = list(sys.path)
    load_job(own_job)
    assert sys.path == [*before, str(own_job.parent), str(Path.cwd())]


def test_the_job_folder_records_where_own_code_lies_and_a_resume_from_elsewhere_finds_it(
    own_job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepare_folder(load_job(own_job), tmp_path / "out", code=own_code.beside(own_job))
    assert json.loads((folder / "job.json").read_text())["code"] == [str(own_job.parent), str(Path.cwd())]
    sys.path.remove(str(own_job.parent))
    del sys.modules["beside_the_job"]
    monkeypatch.chdir(tmp_path)
    assert load_job(folder).space.name == "beside_the_job:space"


def test_a_job_without_own_code_records_nothing(tmp_path: Path) -> None:
    folder = prepare_folder(load_job("quickstart"), tmp_path / "out", code=own_code.beside("quickstart"))
    assert "code" not in json.loads((folder / "job.json").read_text())


@pytest.mark.parametrize("content", ['{"code": 3}', '{"code": [3, null]}', "[]", "{"])
def test_a_record_that_is_none_is_no_folder(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content)
    assert own_code.recorded(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "told", "place"),
    [
        ("def space(:", "SyntaxError: invalid syntax (", "beside_the_job.py, line 1)"),
        ("x = {}\ny = x['width']", "KeyError: 'width' (", "beside_the_job.py, line 2)"),
        ("import no_such_package", "No module named 'no_such_package' (", "beside_the_job.py, line 1)"),
        ("raise SystemExit(3)", "SystemExit: 3 (", "beside_the_job.py, line 1)"),
        ("def spce(): ...", "; did you mean spce?", "beside_the_job"),
    ],
)
def test_a_fault_in_own_code_is_one_line_with_the_place(own_job: Path, code: str, told: str, place: str) -> None:
    (own_job.parent / "beside_the_job.py").write_text(code)
    with pytest.raises(InvalidJob) as refused:
        load_job(own_job)
    (line,) = [line for line in refused.value.mistakes if line.startswith("space.name")]
    assert told in line
    assert place in line


def test_a_module_that_is_nowhere_says_where_was_looked() -> None:
    with pytest.raises(ValueError, match="looked for in the folder of the job file, the current folder and"):
        catalogue.check("space", "no_such_module_of_mine:space")


@pytest.mark.integration
def test_every_process_of_a_job_finds_own_code(own_job: Path, tmp_path: Path) -> None:
    """The command, evaluators in processes of their own, a resume from elsewhere, and the queue.

    Files of the user that are called as modules of Python and of this package lie beside it.
    """
    elsewhere = Path.cwd()
    for name in ("queue.py", "service.py", "json.py"):
        (own_job.parent / name).write_text("raise SystemExit(3)")
    nas(elsewhere, "train", str(own_job), "--output", "out")
    nas(tmp_path, "run", str(elsewhere / "out"), "--workers", "2")
    assert json.loads((elsewhere / "out" / "front.json").read_text())["members"]
    ticket = Ticket(name="own", stages=("train",), directory=str(elsewhere), code=own_code.beside(own_job))
    (job,) = make_queue(tmp_path).add([Draft(key="0/", ticket=ticket, job=load_job(own_job))])
    python("service.queue.runner", tmp_path, str(job))
    assert json.loads((job / "result.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("named", ["file", "pipeline"])
def test_a_queued_job_takes_the_folders_with_it(own_job: Path, named: str) -> None:
    here = Path.cwd()
    source = own_job
    if named == "pipeline":
        source = here / "pipeline.yaml"
        source.write_text(f"{{name: p, job: {own_job}, stages: [{{name: first, run: train}}]}}")
    ticket = Ticket(name="", directory=str(here), code=own_code.beside(source))
    (draft,) = _drafts(str(source), [], [], ticket)
    assert draft.ticket.code == [str(own_job.parent), str(here)]


@pytest.mark.parametrize(("own", "target"), [("service/mine.py", "service.mine:space"), ("queue.py", "queue:space")])
def test_own_code_that_something_installed_hides_is_told_by_both_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, target: str
) -> None:
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).write_text("def space(): pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(ValueError, match=r" is hidden by .*: give yours another name$") as caught:
        catalogue.check("space", target)
    assert str(tmp_path / own.partition("/")[0]) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
