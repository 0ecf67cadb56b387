"""The common part of the commands: reading the job, working in its folder, showing the results."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from service import catalogue, own_code
from service.errors import InvalidJob, fail, readable_errors, warn
from service.run import threads

if TYPE_CHECKING:
    from search_spaces import Space
    from service.job.job import Job
    from service.run.stages.plan import Plan
    from service.tracking.finished import FinishedRun


@dataclass(frozen=True, kw_only=True)
class Request:
    """A job as a command line names it.

    Args:
        source: A recipe, a file or a job folder.
        sets: Settings ``path=value``.
        output: The folder to work in; by default that of the source, or a new one.
        device: Device to work on; that of the job by default.
        workers: Candidates evaluated at the same time.
        data: Data to run the job on, instead of its own.
    """

    source: str
    sets: Sequence[str] = ()
    output: Path | None = None
    device: str | None = None
    workers: int = 1
    data: str | None = None


def execute(request: Request, plan: "Plan", *, again: str) -> tuple["Job", Path, dict[str, Any]] | None:
    """Run stages of a job in its folder; return the job, the folder and the result.

    Args:
        request: The job and its folder.
        plan: Stages, and what they take from other jobs.
        again: The command that resumes after an interruption; `{folder}` stands for the folder.

    Returns:
        None in processes after the first.
    """
    with readable_errors():
        job = load(request.source, request.sets, request.device, request.data)
        from service.job.checks import require_supernet_space

        space = require_supernet_space(job)
        source = Path(request.source)
        own_folder = source if source.is_dir() and request.source not in catalogue.recipes() else None
        if own_folder in plan.inputs.values():
            own_folder = None  # a search of its own, in a folder of its own
        place = request.output or own_folder
        _check_inputs(job, plan, place)
        _check_data(job, plan, place)
        _check_weights(space, plan, place)
        if place is not None:
            for stage in plan.pending(place).values():
                stage.check(job, place)
        slow = threads.too_many()
        if slow:
            warn(slow)
        with _working_folder(job, place, own_code.beside(request.source)) as folder:
            try:
                from service.run.run import run

                with display() as observer:
                    result = run(folder, job, observer, plan, workers=request.workers)
            except KeyboardInterrupt:
                fail(f"interrupted; `{again.format(folder=folder)}` goes on where it stopped", status=130)
        return (job, folder, result) if result else None


def _check_inputs(job: "Job", plan: "Plan", place: Path | None) -> None:
    """Refuse stages that need what no earlier one leaves and no job folder has."""
    from service.job.preparation import check_supernet, front_members
    from service.run.stages.outputs import FRONT, SUPERNET
    from service.run.stages.plan import needed_files

    for name in needed_files(plan.made()):
        folder = plan.inputs.get(name, place)
        if folder is None:
            raise InvalidJob([f"{name}: missing; name the folder of a job that has it"])
        if name == SUPERNET:
            check_supernet(job, folder)
        elif name == FRONT:
            front_members(folder)
        elif not (folder / name).is_file():
            raise InvalidJob([f"{folder}: holds no {name}, which is needed"])


def _check_data(job: "Job", plan: "Plan", place: Path | None) -> None:
    """Refuse data that are not those that the networks of the job were trained on, before any work."""
    if "train" in plan.made() and (place is None or not (place / "job.json").exists()):
        _check_examples(job)
    if (place is None and not plan.inputs) or (place is not None and not plan.pending(place)):
        return
    from service.job.kept_data import job_data

    job_data(job, Path() / "runs" / job.name if place is None else place, plan.inputs.values())


def _check_examples(job: "Job") -> None:
    """Refuse examples that cannot be used, where that is known without loading them."""
    from nas.data import CheckedSource, InvalidExamples
    from service.job.building import data_source

    source = data_source(job.data)
    if isinstance(source, CheckedSource):
        try:
            source.check()
        except InvalidExamples as error:
            raise InvalidJob([f"data: {line}" for line in str(error).splitlines()]) from error


def _check_weights(space: "Space", plan: "Plan", place: Path | None) -> None:
    """Refuse given weights that cannot be had, before any work, where a training is about to begin with them."""
    from service.job.found_weights import weights_line

    stages = plan.made() if place is None else plan.pending(place)
    if "train" in stages:
        weights_line(space, None if place is None else place / "train")


@contextmanager
def _working_folder(job: "Job", place: Path | None, code: Sequence[str]) -> Iterator[Path]:
    """Yield the prepared folder, locked; the first process of a `torchrun` prepares it for all."""
    from service.job.preparation import await_folder, locked, prepare_folder

    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and place is None:
        fail("--output: must be given where torchrun starts several processes, so that all work in one folder")
    if int(os.environ.get("RANK", "0")) > 0 and place is not None:
        yield await_folder(place)
        return
    folder = prepare_folder(job, place, code=code)
    from service.tracking.place import place_of_job

    logged = place_of_job(folder, job.tracking)
    Console().print(f"job folder: {folder}", highlight=False, soft_wrap=True)
    logs = f"logged in MLflow: {logged}" if logged.enabled else "not logged in MLflow (tracking.enabled is false)"
    Console().print(logs, highlight=False, soft_wrap=True, markup=False)
    with locked(folder):
        yield folder


def show_outcome(done: tuple["Job", Path, dict[str, Any]] | None) -> None:
    """Show what a finished command leaves behind, and what to do next."""
    if done is None:
        return  # not the first of several processes
    _, folder, result = done
    if (folder / "front.json").is_file():
        with readable_errors():
            show_result(folder)
        from service.tracking.place import browser_lines

        for line in browser_lines(folder):
            typer.echo(line)
    elif (folder / "supernet.safetensors").is_file():
        typer.echo(f"trained: {folder / 'supernet.safetensors'}\nsearch it: nas run {folder}")
    if result.get("status") == "failed":
        fail(f"{folder}: {result.get('reason') or 'failed'}", status=1)


def console() -> Console:
    """Return where tables go: the terminal, or lines wide enough that no figure is cut off."""
    return Console() if Console().is_terminal else Console(width=140)


def load(source: str, sets: Sequence[str] | None, device: str | None, data: str | None = None) -> "Job":
    from service.job.loading import load_job

    return load_job(source, with_device(sets, device), data=data, warn=warn)


def with_device(sets: Sequence[str] | None, device: str | None) -> list[str]:
    """Return the settings of a job, with the device that an option names."""
    field = "latency.device" if str(device).startswith("ssh:") else "device"
    return [*(sets or []), *([f"{field}={device}"] if device else [])]


@contextmanager
def display() -> Iterator[Any]:
    """Yield the observer that a stage reports to."""
    from service.run.progress import ProgressDisplay

    with ProgressDisplay(Console()) as display:
        yield display


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Turn Ctrl-C into one line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"interrupted; {command} goes on where it stopped", status=130)


def log_benchmark(runs: Iterable["FinishedRun"]) -> None:
    """Log a benchmark in MLflow, or say why not: everything is in the folder of the benchmark."""
    from service.job.tracking import TrackingConfig
    from service.tracking.finished import log_finished
    from service.tracking.format import links
    from service.tracking.place import ui_command

    logged = log_finished(runs, TrackingConfig(), experiment="benchmarks")
    if logged.error:
        typer.echo(f"not in MLflow: {logged.error}")
    elif logged.uri.startswith("http") and logged.experiment_id:
        typer.echo(f"in the browser: {links(logged.uri, logged.experiment_id).runs}")
    else:
        typer.echo(f"in the browser: {ui_command(logged.uri, logged.experiment)}")


def store_address(uri: str) -> str:
    """Return the address of a store that was typed, without a password in it, or one line that says what is wrong."""
    from service.job.store_address import typed
    from service.job.tracking import address_mistake

    if mistake := address_mistake(uri):
        fail(f"--uri: {mistake.removesuffix(', or null')}")
    return typed(uri)


def front(folder: Path) -> dict[str, Any]:
    """Return the front of a finished job, or one line that says why there is none."""
    from service.job.front_file import read_front_file
    from service.job.preparation import saved_job

    saved_job(folder)
    content = read_front_file(folder)
    if content is None:
        fail(f"{folder}: this job has no front yet; finish it with: nas run {folder}")
    return content


def show_result(folder: Path) -> None:
    from service.report.job_report import front_table, summary_lines

    out = console()
    out.print(front_table(folder, out.width))
    for line in summary_lines(folder):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
