"""The command that looks at data before anything is trained: `nas check`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import catalogue
from service.commands.options import Sets
from service.errors import InvalidJob, fail, readable_errors

if TYPE_CHECKING:
    from nas.data.report import DataReport
    from service.job.job import Job

_ANY_SPACE: Mapping[str, Any] = {"name": "check", "space": {"name": "small_mobilenet_v3"}}
_JOB_SUFFIXES = (".yaml", ".yml", ".json")


def check(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A folder of images, an npz file, a source (see nas list data), or a job that has the data.",
        ),
    ],
    job: Annotated[
        str | None,
        typer.Argument(metavar="[JOB]", help="A recipe, a job file or a job folder that uses these data."),
    ] = None,
    *,
    sets: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON, for programs.")] = False,
) -> None:
    """Look at data before anything is trained: what they hold, how they are prepared, what may spoil the results.

    All images are read once. Bad files are refused together. Warnings tell of
    copies of an image in two splits, of imbalanced or small classes, and of too
    few images. Every job prints the same when it starts, and keeps it in its
    folder as data.json.

    [bold]Examples[/]
      nas check photos/                             a folder of images
      nas check photos/ my.yaml                     as this job uses them
      nas check my.yaml --json
      nas check digits --set data.image_size=16
    """
    with readable_errors():
        the_job = _job(data, job, sets or [])
        folder = next((Path(named) for named in (job, data) if named and _is_folder(named)), None)
        report = _report(the_job, folder)
        weights = _weights(the_job, folder)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
        return
    for line in [*report.lines(), *([weights] if weights else [])]:
        typer.echo(line)


def _report(job: "Job", folder: Path | None) -> "DataReport":
    """Return what people should know of the data of a job, split as in its folder where there is one."""
    import torch

    from nas.data import InvalidExamples
    from service.job.building import build_task, data_source
    from service.job.kept_data import job_data
    from service.run.data_check import report_on_data

    source = data_source(job.data) if folder is None else job_data(job, folder)
    try:
        return report_on_data(source.load(torch.device("cpu")), job, build_task(job))
    except InvalidExamples as error:
        raise InvalidJob([error.summary, *(f"  {line}" for line in error.lines)]) from error


def _weights(job: "Job", folder: Path | None) -> str:
    """Return a line on the weights that the training of a job begins with; empty where it has none."""
    from service.job.building import build_space
    from service.job.found_weights import weights_line

    return weights_line(build_space(job), None if folder is None else folder / "train")


def _job(data: str, job: str | None, sets: list[str]) -> "Job":
    """Return the job that says what is done with the data."""
    from service.job.given_data import on_other_data
    from service.job.loading import job_of

    if _is_job(data):
        if job is not None:
            fail(f"DATA: {data} is a job, and {job} another one; give data and a job, or one of them")
        return job_of(_fields(data), sets)
    return job_of(on_other_data(_ANY_SPACE if job is None else _fields(job), data, "DATA"), sets)


def _fields(job: str) -> Mapping[str, Any]:
    from service.job.files import job_file, read_fields

    try:
        return read_fields(job_file(job))
    except ValueError as error:
        raise InvalidJob([str(error)]) from error


def _is_job(text: str) -> bool:
    path = Path(text)
    known = text in catalogue.recipes() and text not in catalogue.DATA
    return known or path.suffix.lower() in _JOB_SUFFIXES or _is_folder(text)


def _is_folder(text: str) -> bool:
    """Return whether this is the folder of a job."""
    return (Path(text) / "job.json").is_file()
