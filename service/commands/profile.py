"""The command that measures on hardware: `nas profile`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands import profile_tables
from service.commands.options import Device, Sets
from service.commands.shared import console, display, load, resumable, with_device
from service.errors import fail, readable_errors

if TYPE_CHECKING:
    from service.run.latency_tables import TableRequest


def profile(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE | FILE | DIR",
            help="A recipe, a .yaml or .json job file, or a job folder. [dim]Default: quickstart[/]",
        ),
    ] = None,
    *,
    space: Annotated[
        str | None, typer.Option("--space", metavar="NAME", help="A space with its default options, instead of a job.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="An option of --space; may be given many times."),
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="Random architectures besides the two extremes.")] = 8,
    table: Annotated[
        Path | None,
        typer.Option("--table", metavar="FILE", help="Measure the blocks of the space, and write a latency table."),
    ] = None,
    networks: Annotated[int, typer.Option(min=8, help="Whole networks that the table's correction learns from.")] = 40,
    held_out: Annotated[
        int, typer.Option("--held-out", min=0, help="Whole networks that the table is judged by.")
    ] = 60,
    minutes: Annotated[float, typer.Option(help="Minutes to build the table in; more make it more exact.")] = 10.0,
    sets: Sets = None,
    device: Device = None,
) -> None:
    """Measure latency on this machine or another one, without training anything.

    For a job or a space, it measures the smallest, the largest and random
    architectures. For the folder of a finished job, it measures the front again.
    The 95 % intervals are those of another run. Another machine needs sshd,
    python3 and onnxruntime (or torch); nothing is installed there.

    With --table, it measures every distinct block of the space and some whole
    networks, for latency.table of a job. Ctrl-C or a crash loses nothing: the
    same command resumes where it stopped.

    [bold]Examples[/]
      nas profile cifar10 --set data.path=cifar10.npz --samples 20
      nas profile my.yaml --set latency.batch_size=32 --set latency.threads=4
      nas profile my.yaml --set latency.backend=onnxruntime --device ssh://user@board:22
      nas profile --space nasbench201 --option width=8 --set latency.backend=onnxruntime
      nas profile runs/my                           the front of a finished job
      nas profile my.yaml --table here.json         then: latency.table=here.json
      nas profile --space small_mobilenet_v3 --table t.json --minutes 5
    """
    with readable_errors():
        if space is not None and source is not None:
            fail(f"give a job or --space, got both: {source} and --space {space}")
        if option and space is None:
            fail("--option: is for --space; the options of a job are changed by --set space.options.NAME=VALUE")
        if table is not None or space is not None:
            from service.run.latency_tables import TableRequest

            request = TableRequest(source=source, space=space, options=option or [], sets=with_device(sets, device))
            if table is not None:
                _table(request, table, networks=networks, held_out=held_out, minutes=minutes)
            else:
                _samples_of_space(request, samples)
            return
        job = load(source or "quickstart", sets, device)
        from service.run import profiling

        folder = Path(source or "quickstart")
        with display() as observer:
            if (folder / "front.json").is_file():
                rows = profiling.profile_front(folder, job, observer)
            else:
                rows = profiling.profile(job, folder, observer, samples=samples)
        console().print(profile_tables.latency_table(rows))


def _samples_of_space(request: "TableRequest", samples: int) -> None:
    from service.run import profiling

    job, made, _ = request.job_and_space()
    with display() as observer:
        rows = profiling.profile_samples(made, job, observer, samples=samples)
    console().print(profile_tables.latency_table(rows))


def _table(request: "TableRequest", path: Path, *, networks: int, held_out: int, minutes: float) -> None:
    from nas.hardware.latency_table_building import TableConfig
    from service.run import latency_tables

    if not minutes > 0:
        fail(f"--minutes: must be more than 0, got {minutes:g}")
    job, made, options = request.job_and_space()
    config = TableConfig(networks=networks, held_out=held_out, minutes=minutes, seed=job.seed)
    with resumable("the same command"), display() as observer:
        found = latency_tables.build_table(job, made, path, config, observer, options=options)
    console().print(profile_tables.held_out_table(found))
    typer.echo(profile_tables.table_summary(found, path))
