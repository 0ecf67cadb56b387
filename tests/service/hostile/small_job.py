"""The smallest whole job, and commands on its folder in this process."""

import shutil
import signal
from pathlib import Path
from types import FrameType

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.job.folder import write_json
from tests.conftest import Once

LIMIT_S = 300  # nothing hangs: this is far more than anything takes, on a machine as busy as it may be
JOB = {
    "name": "small",
    "seed": 3,
    "device": "cpu",
    "data": {"source": "noise", "image_size": 8},
    "space": {
        "name": "small_mobilenet_v3",
        "options": {
            **{"stem_width": 8, "first_width": 8, "stage_widths": [8], "strides": [2], "depths": [1, 2]},
            **{"kernels": [3, 5], "expands": [1, 2], "last_width": 16, "feature_width": 16},
        },
    },
    "train": {"epochs": 1, "batch_size": 64},
    "search": {
        **{"searcher": "random", "evaluations": 5, "population": 4, "objectives": ["accuracy", "macs"]},
        "calibration_examples": 64,
    },
    "latency": {"repeats": 5, "warmup_s": 0.0, "min_time_ms": 0.0},
    "tracking": {"enabled": False},
}


def nas(*arguments: object) -> Result:
    """Return what a command does; one that takes too long fails."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"nas {' '.join(map(str, arguments))} takes longer than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        return CliRunner().invoke(app, [str(one) for one in arguments], prog_name="nas", env={"COLUMNS": "300"})
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def require_clean(result: Result, *, codes: tuple[int, ...] = (0, 2)) -> list[str]:
    """Return the lines of a refusal; fail where there was a traceback or another exit code."""
    crashed = result.exception is not None and not isinstance(result.exception, SystemExit)
    if crashed:
        raise AssertionError(f"{result.output}\n{result.exception!r}") from result.exception
    assert result.exit_code in codes, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("nas: ")]
    assert bool(lines) == (result.exit_code != 0), result.output
    return lines


def make(folder: Path) -> None:
    """Run the job in `folder/job`."""
    write_json(folder / "small.json", JOB)
    done = nas("run", folder / "small.json", "--output", folder / "job")
    assert done.exit_code == 0, done.output
    done = nas("retrain", folder / "job", "--epochs", "0.1")
    assert done.exit_code == 0, done.output


@pytest.fixture
def job(once: Once, tmp_path: Path) -> Path:
    """A copy of the folder of a finished job, with fine-tuned members."""
    return Path(shutil.copytree(once("small_job", make) / "job", tmp_path / "job"))
