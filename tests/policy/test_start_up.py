"""What does not train or measure starts without what trains and measures: torch alone takes seconds to import."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import catalogue
from tests.nas.data.text import corpus

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "sklearn", "timm", "mlflow", "optuna", "onnx", "onnxruntime")
pytestmark = pytest.mark.integration


def imported_by(code: str) -> set[str]:
    """The heavy packages that a fresh process imports for this code, on a machine without CUDA."""
    told = f"{code}\nimport json, sys\nprint(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, cwd=ROOT, env=hidden
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", ["service.cli", "service.queue.worker", "service.queue.runner", "service.job.job"])
def test_commands_and_processes_of_the_queue_start_light(module: str) -> None:
    assert imported_by(f"import {module}") == set()


def test_a_job_is_read_checked_described_and_recorded_without_torch() -> None:
    code = (
        "from service.job.loading import load_job\n"
        "from service.job.job import to_dict\n"
        "from service.job.preparation import job_record\n"
        "from service.job.environment import environment\n"
        "job = load_job('quickstart')\n"
        "assert job_record(job, environment())['job'] == to_dict(job)"
    )
    assert imported_by(code) == set()


@pytest.mark.parametrize("names", [["train"], ["data.image_size"], ["sampler", "path_adaptive"], ["--schema"]])
def test_fields_and_names_are_explained_without_torch(names: list[str]) -> None:
    code = (
        f"from typer.testing import CliRunner; from service.cli import app; CliRunner().invoke(app, ['show', *{names}])"
    )
    assert imported_by(code) == set()


@pytest.mark.parametrize(("source", "space"), [("parallel_text", "small_hat"), ("text", "language")])
def test_jobs_on_text_are_checked_without_torch(tmp_path: Path, source: str, space: str) -> None:
    options = {"vocabulary": 300, **({"languages": ["en", "de"]} if source == "parallel_text" else {"language": "en"})}
    data = {"source": source, "path": str(corpus.folder(tmp_path / "text")), "options": options}
    fields = {"name": "text", "data": data, "space": {"name": space}}
    assert imported_by(f"from service.job.loading import job_of\njob_of({fields})") == set()


RUNNING = ("split", "joined")  # they look at the layers of a network that runs


@pytest.mark.parametrize("space", [name for name in catalogue.SPACES if name not in RUNNING])
def test_the_spaces_of_a_job_are_checked_without_torch(space: str) -> None:
    sets = [f"space={{name: {space}}}", "data={source: noise, image_size: 32}"]
    code = (
        "from service.job.loading import load_job\n"
        "from service.errors import InvalidJob\n"
        f"try: load_job('quickstart', {sets})\n"
        "except InvalidJob: pass"
    )
    assert imported_by(code) == set()
