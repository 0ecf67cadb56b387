"""Files of the current folder that are called like modules of Python or of ours are in nobody's way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service import isolation
from service.queue.executors.executor import Resources, Ticket
from service.queue.queue import Draft
from service.run.worker_processes import computed
from tests.service.queues import ROOT, make_queue, result, wait_until

pytestmark = pytest.mark.integration
HIDING = ("queue", "random", "torch", "socket", "tempfile", "contextlib", "selectors", "numpy", "yaml", "typer")
START = """
import sys
from pathlib import Path
from service.queue import worker
from service.queue.queue import Queue
assert worker.start(Queue.open(Path(sys.argv[1])))
"""


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder whose files end every process that imports one of them by mistake."""
    folder = tmp_path / "crowded"
    for name in ("service", "nas", "supernets", "proxies", "search_spaces"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    for name in HIDING:
        (folder / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    (folder / "my_work.py").write_text(
        "import queue, random, sys\n"
        "import torch\n"
        "def here(folder, observer):\n"
        "    return {'torch': torch.__version__, 'safe': 'PYTHONSAFEPATH' in __import__('os').environ}\n"
    )
    return folder


def python(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_job_is_queued_served_and_run_in_a_folder_that_hides_modules(crowded: Path) -> None:
    queue = make_queue(crowded / "q", cpus=1)
    resources, here = Resources(cpus=1), str(crowded)
    ticket = Ticket(name="own", call="my_work:here", resources=resources, directory=here)
    [folder] = queue.add([Draft(key="", ticket=ticket)])
    assert python(crowded, "-P", "-c", START, str(queue.folder)).returncode == 0
    wait_until((folder / "result.json").exists, "the job is over")
    assert result(folder)["status"] == "finished", result(folder)
    assert result(folder)["safe"] is False, "what a job starts finds its own files as ever"
    assert (queue.folder / ".worker.log").read_text().strip() in ("", f"{folder.name}: finished")


@pytest.mark.parametrize("path", [".", "", os.pathsep])
def test_a_python_path_that_names_the_current_folder_hides_no_module_of_python(crowded: Path, path: str) -> None:
    (crowded / "service" / "__init__.py").unlink()  # a folder, not a package: it hides nothing
    (crowded / "contextlib.py").unlink()  # `python -m` imports it before there is anything of ours
    done = python(crowded, "-m", "service.cli", "list", "space", PYTHONPATH=f"{path}{os.pathsep}{ROOT}")
    assert done.returncode == 0, done.stderr
    assert "darts" in done.stdout


def test_modules_are_started_without_installation_and_from_anywhere(crowded: Path) -> None:
    command = isolation.command("service.cli", "list", "space")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=crowded, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_processes_that_share_work_start_in_a_folder_that_hides_modules(
    crowded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(crowded)
    assert dict(computed(_ready, ["a", "b"], workers=2)) == {"a": False, "b": False}
    assert "PYTHONSAFEPATH" not in os.environ


def _ready():  # type: ignore[no-untyped-def]
    return _is_safe


def _is_safe(task: str) -> bool:
    return "PYTHONSAFEPATH" in os.environ
