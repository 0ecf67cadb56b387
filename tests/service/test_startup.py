"""What starts often starts fast: neither the command line nor the processes of a queue load PyTorch to look at jobs."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import service.queue
import service.run.stages

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
MODULES = [
    *("service.cli", "service.run.run", "service.run.progress", "service.job.loading"),
    *(found.name for found in pkgutil.walk_packages(service.queue.__path__, "service.queue.")),
    *(found.name for found in pkgutil.walk_packages(service.run.stages.__path__, "service.run.stages.")),
]
HEAVY = ("torch", "mlflow", "timm", "scipy", "pymoo")


def loaded(code: str, folder: Path) -> list[str]:
    """Heavy modules that a process has loaded after some code."""
    program = f"import sys\n{code}\nprint('\\n' + ' '.join(name for name in {HEAVY} if name in sys.modules))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1].split()


def test_modules_of_the_queue_and_the_stages_load_nothing_heavy(tmp_path: Path) -> None:
    assert "service.queue.executors.slurm_task" in MODULES
    assert loaded(f"import {', '.join(MODULES)}", tmp_path) == []


@pytest.mark.parametrize("command", [["jobs"], ["watch", "--until-idle"], ["worker", "--until-idle"], ["gc"]])
def test_commands_that_look_at_a_queue_load_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir(mode=0o700)
    arguments = [*command, "--queue-folder", "queue"]
    assert loaded(f"from service.cli import app; app({arguments}, standalone_mode=False)", tmp_path) == []


def test_a_job_whose_stages_are_done_is_over_without_anything_heavy(tmp_path: Path) -> None:
    """What the runner of a queued job does before its first stage that is not done."""
    (tmp_path / "supernet.safetensors").touch()
    code = (
        "from pathlib import Path; from service.job.job import Job, SpaceConfig; from service.run.run import run;"
        "from service.run.stages.plan import Plan;"
        "job = Job(name='done', space=SpaceConfig(name='small_mobilenet_v3'));"
        "assert run(Path(), job, print, Plan(stages=('train',)))['status'] == 'finished'"
    )
    assert loaded(code, tmp_path) == []
