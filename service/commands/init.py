"""The command that writes a first job for data: `nas init`. `nas run` on data does the same and runs it."""

import os
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.options import Device
from service.commands.shared import Request
from service.errors import InvalidJob, fail, readable_errors
from service.job.given_data import is_data

if TYPE_CHECKING:
    from service.starting.first_job import Wish

__all__ = ["Budget", "Latency", "Size", "first_request", "init", "is_data"]

Latency = Annotated[
    str | None,
    typer.Option("--latency", metavar="TIME", help="Limit on one image, such as '2 ms'. [dim]Default: none[/]"),
]
Size = Annotated[
    int | None,
    typer.Option("--size", min=8, max=1024, help="Side of the images in pixels. [dim]Default: as the data[/]"),
]
Budget = Annotated[str, typer.Option("--budget", metavar="TIME", help="Time for the whole job, such as 30m or 2h.")]


def init(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder that has one folder of images per class, or an npz.")
    ],
    *,
    latency: Latency = None,
    size: Size = None,
    budget: Budget = "30m",
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="The job file. [dim]Default: NAME.yaml[/]")
    ] = None,
    device: Device = None,
) -> None:
    """Write a job for your own images: space, training and search chosen for them and for this machine.

    A few training steps, evaluations and latencies are measured here first. Every
    line of the file says why it is there; edit it as you like.

    [bold]Examples[/]
      nas init photos                               no limit, half an hour
      nas init photos --latency '2 ms' --budget 1h
      nas init photos --size 96 --output large.yaml
      nas run photos --latency '2 ms'               the same, and runs it at once
    """
    with readable_errors():
        wish = wish_of(data, latency=latency, size=size, budget=budget, device=device)
        from service.starting.first_job import job_name

        file = output or Path(f"{job_name(data)}.yaml")
        if file.suffix not in (".yaml", ".yml"):
            fail(f"--output: must be a .yaml file, got {file}")
        if file.exists():
            fail(f"--output: {file} is there already; give another one, or remove it")
        written_job(wish, file, f"runs/{job_name(data)}")


def wish_of(data: str, *, latency: str | None, size: int | None, budget: str, device: str | None) -> "Wish":
    """Return what the options ask for.

    Raises:
        InvalidJob: A time is not one.
    """
    from nas.objectives import parse_bound
    from service.starting.first_job import Wish

    limit = None
    if latency is not None:
        try:
            bound = parse_bound(latency, unit="ms", maximise=False)
        except ValueError as error:
            raise InvalidJob([f"--latency: {error}"]) from error
        if bound.high is None or bound.low is not None or bound.high <= 0:
            raise InvalidJob([f"--latency: must be the most that one image may take, such as '2 ms', got {latency!r}"])
        limit = bound.high
    return Wish(data=data, latency_ms=limit, size=size, budget_s=seconds_of(budget), device=device)


def seconds_of(text: str) -> float:
    """Return the seconds of a time such as ``30m``, ``1.5 h`` or ``90 s``.

    Raises:
        InvalidJob: It is not one.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|sec|m|min|minutes|h|hours?)\s*", text)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2][0]] if match else 0.0
    if not 0 < seconds <= 30 * 86400:
        raise InvalidJob([f"--budget: must be a time such as 30m, 1.5h or 90s, got {text!r}"])
    return seconds


def written_job(wish: "Wish", file: Path, folder: str) -> None:
    """Choose a job, write it into a file, and say what it is and how it is run in a folder."""
    from service.job.folder import write_whole
    from service.starting.first_job import chosen_job, with_data_path
    from service.starting.writing import summary_lines, yaml_text

    first = chosen_job(wish, lambda doing: typer.echo(f"{doing} …"))
    if first.job.data.path is not None:  # a path in a job file leads from the folder of the file
        beside = file.resolve().parent == Path.cwd()
        first = replace(first, job=with_data_path(first.job, wish.data if beside else str(Path(wish.data).resolve())))
    write_whole(file, yaml_text(first, str(file)))
    for line in summary_lines(first, str(file), folder):
        typer.echo(line)


def first_request(request: Request, *, latency: str | None, size: int | None, budget: str) -> Request:
    """Write a job for the data that a request names as its source, and return the request for that job."""
    with readable_errors():
        if request.data is not None:
            fail(f"--data: {request.source} is data already; give a job and --data, or data alone")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            fail(f"{request.source}: write the job first, for all processes: nas init {request.source}")
        wish = wish_of(request.source, latency=latency, size=size, budget=budget, device=request.device)
        file, folder = _run_file(request.source, request.output)
        if file.exists():
            fail(f"{file} is there already; go on with: nas run {file} --output {folder}")
        written_job(wish, file, str(folder))
    return replace(request, source=str(file), output=folder)


def _run_file(data: str, output: Path | None) -> tuple[Path, Path]:
    """Return the job file that `nas run` on data writes, and the job folder beside it."""
    from service.starting.first_job import job_name

    folder = output or Path("runs") / f"{job_name(data)}-{datetime.now():%Y%m%d-%H%M%S}"
    return folder.with_name(f"{folder.name}.yaml"), folder
