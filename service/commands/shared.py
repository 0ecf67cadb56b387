"""What the commands of `nas` share: reading the job, working in its folder, showing what came of it."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from service import catalogue
from service.errors import fail, readable_errors

if TYPE_CHECKING:
    from service.job.job import Job
    from service.tracking.finished import FinishedRun


def execute(
    source: str,
    sets: Sequence[str] | None,
    output: Path | None,
    device: str | None,
    stages: Sequence[str],
    *,
    supernet_from: Path | None = None,
    workers: int = 1,
) -> None:
    """Some stages of a job in its folder, then what they came to."""
    with readable_errors():
        job = load(source, sets, device)
        from service.job.checks import require_supernet_space
        from service.job.preparation import check_supernet

        require_supernet_space(job)

        own_folder = Path(source) if Path(source).is_dir() and source not in catalogue.recipes() else None
        if supernet_from is not None and own_folder == supernet_from:
            own_folder = None  # a search of its own, in a folder of its own
        place = output or own_folder
        needed = supernet_from or (None if "train" in stages else place)
        if needed is not None:
            check_supernet(job, needed)
        with _working_folder(job, place) as folder:
            try:
                from service.run import runner

                with display() as observer:
                    result = runner.run(
                        folder, job, observer, stages=stages, supernet_from=supernet_from, workers=workers
                    )
            except KeyboardInterrupt:
                fail(f"interrupted; `{_again(stages, folder, supernet_from)}` goes on where it stopped", status=130)
        _show_outcome(job, folder, result)


@contextmanager
def _working_folder(job: "Job", place: Path | None) -> Iterator[Path]:
    """The prepared folder, locked; of the processes of one `torchrun` the first prepares it for all."""
    from service.job.preparation import await_folder, locked, prepare_folder

    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and place is None:
        fail("--output: must be given where torchrun starts several processes, so that all work in one folder")
    if int(os.environ.get("RANK", "0")) > 0 and place is not None:
        yield await_folder(place)
        return
    folder = prepare_folder(job, place)
    Console().print(f"job folder: {folder}", highlight=False, soft_wrap=True)
    with locked(folder):
        yield folder


def _show_outcome(job: "Job", folder: Path, result: dict[str, Any]) -> None:
    """What a finished command leaves behind, and what to do next."""
    if not result:
        return  # not the first of several processes
    if (folder / "front.json").is_file():
        show_result(folder)
        if job.tracking.enabled:
            typer.echo("in the browser: nas ui")
    elif (folder / "supernet.safetensors").is_file():
        typer.echo(f"trained: {folder / 'supernet.safetensors'}\nsearch it: nas run {folder}")
    if result.get("status") == "failed":
        fail(f"{folder}: {result.get('reason') or 'failed'}", status=1)


def _again(stages: Sequence[str], folder: Path, supernet_from: Path | None) -> str:
    if "train" not in stages:
        return f"nas search {folder}" + (f" --from {supernet_from}" if supernet_from else "")
    return f"nas {'train' if len(stages) == 1 else 'run'} {folder}"


def console() -> Console:
    """Where tables go: the terminal, or lines wide enough that no figure is cut off."""
    return Console() if Console().is_terminal else Console(width=140)


def load(source: str, sets: Sequence[str] | None, device: str | None) -> "Job":
    from service.job.loading import load_job

    return load_job(source, with_device(sets, device))


def with_device(sets: Sequence[str] | None, device: str | None) -> list[str]:
    """The settings of a job, with the device that an option names."""
    field = "latency.device" if str(device).startswith("ssh:") else "device"
    return [*(sets or []), *([f"{field}={device}"] if device else [])]


@contextmanager
def display() -> Iterator[Any]:
    """The observer that a stage reports to."""
    from service.run.progress import ProgressDisplay

    with ProgressDisplay(Console()) as display:
        yield display


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Ctrl-C as one line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"interrupted; {command} goes on where it stopped", status=130)


def log_benchmark(runs: Iterable["FinishedRun"]) -> None:
    """A store that cannot be written is said, and no reason to fail: everything is in the folder of the benchmark."""
    from service.job.tracking import TrackingConfig
    from service.tracking.finished import log_finished

    logged = log_finished(runs, TrackingConfig(experiment="benchmarks"))
    typer.echo(f"not in MLflow: {logged.error}" if logged.error else "in the browser: nas ui --experiment benchmarks")


def front(folder: Path) -> dict[str, Any]:
    """The front of a finished job, or one line that says why there is none."""
    from service.job.preparation import saved_job

    saved_job(folder)
    path = folder / "front.json"
    if not path.is_file():
        fail(f"{folder}: this job has no front yet; finish it with: nas run {folder}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        fail(f"{path}: damaged ({error}); make it again with: nas run {folder}")


def show_result(folder: Path) -> None:
    from service.report.job_report import front_table, summary_lines

    out = console()
    out.print(front_table(folder))
    for line in summary_lines(folder):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
