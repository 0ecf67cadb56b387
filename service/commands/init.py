"""The command that writes a first job for data: `nas init`. `nas run` on data does the same and runs it."""

import os
import re
from dataclasses import dataclass, replace
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

__all__ = ["Asked", "Budget", "Checkpoint", "Latency", "Model", "Size", "first_request", "init", "is_data"]

Latency = Annotated[
    str | None,
    typer.Option("--latency", metavar="TIME", help="Limit on one image, such as '2 ms'. [dim]Default: none[/]"),
]
Size = Annotated[
    int | None,
    typer.Option("--size", min=8, max=1024, help="Side of the images in pixels. [dim]Default: as the data[/]"),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Search the parts of this network: a model of timm, or package.module:function. "
        "[dim]Default: a space that fits[/]",
    ),
]
Checkpoint = Annotated[
    str | None,
    typer.Option("--checkpoint", metavar="FILE", help="Weights of --model. [dim]Default: those of timm[/]"),
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
    model: Model = None,
    checkpoint: Checkpoint = None,
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
      nas init photos --model resnet18.a1_in1k --latency '4 ms'     a pretrained network
      nas run photos --latency '2 ms'               the same, and runs it at once
    """
    with readable_errors():
        asked = Asked(latency=latency, size=size, budget=budget, model=model, checkpoint=checkpoint)
        wish = asked.wish(data, device)
        from service.starting.first_job import job_name

        file = output or Path(f"{job_name(data)}.yaml")
        if file.suffix not in (".yaml", ".yml"):
            fail(f"--output: must be a .yaml file, got {file}")
        if file.exists():
            fail(f"--output: {file} is there already; give another one, or remove it")
        written_job(wish, file, f"runs/{job_name(data)}")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options that choose a first job, as they were typed."""

    latency: str | None = None
    size: int | None = None
    budget: str = "30m"
    model: str | None = None
    checkpoint: str | None = None

    def wish(self, data: str, device: str | None) -> "Wish":
        """Return what the options ask for.

        Raises:
            InvalidJob: A time is not one, or weights are given without a model.
        """
        from service.starting.first_job import Wish

        if self.checkpoint is not None and self.model is None:
            raise InvalidJob([f"--checkpoint: needs --model NAME, whose weights {self.checkpoint!r} holds"])
        return Wish(
            data=data,
            latency_ms=self.limit_ms(),
            size=self.size,
            budget_s=seconds_of(self.budget),
            device=device,
            model=self.model,
            checkpoint=self.checkpoint,
        )

    def limit_ms(self) -> float | None:
        """Return the limit on latency in ms; None where none is asked for.

        Raises:
            InvalidJob: It is not a limit.
        """
        from nas.objectives import parse_bound

        if self.latency is None:
            return None
        try:
            bound = parse_bound(self.latency, unit="ms", maximise=False)
        except ValueError as error:
            raise InvalidJob([f"--latency: {error}"]) from error
        if bound.high is None or bound.low is not None or bound.high <= 0:
            wanted = "must be the most that one image may take, such as '2 ms'"
            raise InvalidJob([f"--latency: {wanted}, got {self.latency!r}"])
        return bound.high

    def sets(self) -> list[str]:
        """Return the same for a job that is there already, as `--set` says it.

        Raises:
            InvalidJob: A limit is not one.
        """
        limit = self.limit_ms()
        given = {
            "search.constraints.latency_ms": None if limit is None else f"<= {limit:g}",
            "data.image_size": self.size,
            "space.options.model": self.model,
            "space.options.checkpoint": self.checkpoint,
            "space.options.pretrained": "false" if self.model and ":" in self.model else None,  # timm has none
        }
        return [f"{path}={value}" for path, value in given.items() if value is not None]


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
    from service.starting.first_job import chosen_job, leading_from
    from service.starting.writing import summary_lines, yaml_text

    first = leading_from(chosen_job(wish, lambda doing: typer.echo(f"{doing} …")), file)
    write_whole(file, yaml_text(first, str(file)))
    for line in summary_lines(first, str(file), folder):
        typer.echo(line)


def first_request(request: Request, asked: Asked) -> Request:
    """Write a job for the data that a request names as its source, and return the request for that job."""
    with readable_errors():
        if request.data is not None:
            fail(f"--data: {request.source} is data already; give a job and --data, or data alone")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            fail(f"{request.source}: write the job first, for all processes: nas init {request.source}")
        if changed := [text for text in request.sets if text.startswith("space.")]:
            instead = "name a network with --model, or write the job first and edit it: nas init"
            fail(f"--set {changed[0]}: the space for {request.source} is chosen by measurement; {instead}")
        wish = asked.wish(request.source, request.device)
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
