"""The commands that score architectures without training: `nas score` and `nas benchmark proxies`."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands import score_tables
from service.commands.options import Device, Sets
from service.commands.shared import console, display, resumable, with_device
from service.errors import readable_errors


def score(
    source: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE | FILE | DIR", help="Job whose space, data and seed are used, if any."),
    ] = None,
    *,
    space: Annotated[
        str | None, typer.Option("--space", metavar="NAME", help="Search space; see nas list space.")
    ] = None,
    proxy: Annotated[str | None, typer.Option("--proxy", metavar="A,B,…", help="Proxies; see nas list proxy.")] = None,
    archs: Annotated[
        Path | None, typer.Option("--archs", metavar="FILE", help="Score the rows of this csv; its columns are kept.")
    ] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Score this many random architectures.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Score every architecture of the space.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="Training images, npz or folder. [dim]Default: random images[/]"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Table to write, .csv or .parquet.")] = Path(
        "scores.csv"
    ),
    layers: Annotated[bool, typer.Option("--layers", help="Also keep the share of every layer.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes. [dim]Default: one per core[/]")] = 0,
    sets: Sets = None,
    device: Device = None,
) -> None:
    """Score architectures by zero-cost proxies, without training.

    Every architecture gets fresh weights and the same batch of training data;
    proxies share forward and backward passes. Ctrl-C or a crash loses nothing:
    the same command resumes where it stopped.

    [bold]Examples[/]
      nas score --space nasbench201 --proxy synflow,params --all
      nas score --space nasbench201 --proxy gradsign --sample 99 --data c10.npz
      nas score --space nasbench201 --proxy az_nas --archs t.csv --data c10.npz
      nas score my.yaml --proxy gradsign,zico --sample 50 --output scores.parquet
      nas score my.yaml --proxy zico --sample 9 --set proxies.options.zico.batches=4
    """
    from service.run import score as command

    request = command.Request(source=source, space=space, proxies=proxy, data=data, sets=with_device(sets, device))
    with readable_errors():
        job, made = command.job_and_space(request)
        command.check_output(output)
        rows = command.chosen_rows(made, archs, sample, every, job.seed)
        with resumable("the same command"), display() as observer:
            outcome = command.perform(job, rows, output, observer, workers=workers, layers=layers)
    console().print(score_tables.score_table(outcome))
    typer.echo(score_tables.score_summary(outcome, output))


def benchmark_proxies(
    space: Annotated[str, typer.Option("--space", metavar="NAME", help="Search space; see nas list space.")],
    table: Annotated[Path, typer.Option("--table", metavar="FILE", help="csv of architectures and their accuracies.")],
    column: Annotated[str, typer.Option("--column", metavar="NAME", help="Column of the table with the accuracies.")],
    *,
    proxy: Annotated[
        str, typer.Option("--proxy", metavar="A,B,…", help="Proxies; params and macs are always compared.")
    ] = "synflow,nwot,gradsign",
    sample: Annotated[int | None, typer.Option("--sample", min=3, help="Random rows. [dim]Default: all[/]")] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="Training images, npz or folder. [dim]Default: random images[/]"),
    ] = None,
    provenance: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Origin of your own column: dataset=…,epochs=…,split=test,seeds=…"),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", metavar="FILE", help="File of scores, .csv or .parquet; agreements are written beside it."
        ),
    ] = Path("proxies.csv"),
    workers: Annotated[int, typer.Option(min=0, help="Processes. [dim]Default: one per core[/]")] = 0,
    sets: Sets = None,
    device: Device = None,
) -> None:
    """Measure how well proxies rank the architectures of a table.

    It prints Spearman, Kendall and the precision of the best tenth, each with a
    bootstrap 95 % interval, and the seconds for each architecture. The same
    command resumes an interrupted one.

    [bold]Examples[/]
      nas benchmark proxies --space nasbench201 --table nb201.csv.gz
        --column c10_test_200 --proxy nwot,zico --sample 500 --data c10.npz
      nas benchmark proxies --space my.spaces:own --table own.csv --column acc
        --provenance dataset=own,epochs=50,split=validation,seeds=1
    """
    from service.benchmarks import proxy_benchmark
    from service.run import score as command

    rows = proxy_benchmark.TableRequest(path=table, column=column, provenance=provenance, sample=sample)
    names = ",".join(dict.fromkeys(["params", "macs", *proxy.split(",")]))
    request = command.Request(space=space, proxies=names, data=data, sets=with_device(sets, device))
    with readable_errors():
        job, made = command.job_and_space(request)
        command.check_output(output)
        truth = proxy_benchmark.read_truth(rows, made, job.seed)
        with resumable("the same command"), display() as observer:
            outcome = command.perform(job, truth.rows, output, observer, workers=workers)
        found = proxy_benchmark.agreements(outcome, truth)
        seconds = proxy_benchmark.seconds_alone(job, truth.rows)
    console().print(score_tables.agreement_table(found, seconds, truth.provenance))
    written = proxy_benchmark.write_agreements(output, found, seconds)
    typer.echo(f"{score_tables.score_summary(outcome, output)}\nagreements: {written}")
