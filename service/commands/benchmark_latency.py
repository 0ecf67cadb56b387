"""The command that compares predictors of latency on devices held out in turn: `nas benchmark latency`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from service.commands.options import Sets, named_options, names_of
from service.commands.shared import console, display, log_benchmark, resumable
from service.errors import fail, readable_errors


def benchmark_latency(
    table: Annotated[Path, typer.Option("--table", metavar="FILE", help="csv of latencies on several devices.")],
    *,
    space: Annotated[
        str | None, typer.Option("--space", metavar="NAME", help="Space of the architectures; see nas list space.")
    ] = None,
    join: Annotated[
        Path | None, typer.Option("--join", metavar="FILE", help="csv that names the architectures of --table.")
    ] = None,
    key: Annotated[str, typer.Option("--key", metavar="NAME", help="Column that both files have.")] = "idx",
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", metavar="A,B,…", help="Columns, one per device; A+B adds two. [dim]Default: all *_ms[/]"
        ),
    ] = None,
    device_columns: Annotated[
        str | None,
        typer.Option(
            "--device-columns", metavar="A,B,…", help="Columns that name the device, where a row has one latency."
        ),
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", metavar="A,B,…", help="Columns that describe architectures.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="A,B,…", help="Hold out only these. [dim]Default: all in turn[/]")
    ] = None,
    by: Annotated[
        Literal["device", "family"],
        typer.Option("--by", help="family: other batch sizes of a device are unknown too, NAME_1, NAME_32, …"),
    ] = "device",
    samples: Annotated[str, typer.Option("--samples", metavar="N,M,…", help="Measured architectures.")] = "10,20,50",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of the measured architectures.")] = 10,
    predictor: Annotated[
        str, typer.Option(metavar="NAME", help="Predictor of 'from scratch'; see nas list predictor.")
    ] = "ridge_or_svr",
    workers: Annotated[int, typer.Option(min=0, help="Processes of one thread. [dim]Default: one per core[/]")] = 0,
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Folder of the journal and of csv tables.")
    ] = Path("runs/latency_benchmark"),
    mlflow: Annotated[bool, typer.Option("--mlflow/--no-mlflow", help="Log one MLflow run per method.")] = True,
    sets: Sets = None,
) -> None:
    """Predict latency on a new device from a few measurements and the other devices of a table.

    Every device is held out in turn. The method "transfer" knows the other
    devices and some samples of the new one, drawn at random or chosen. The method
    "from scratch" learns from the same samples alone. MACs and parameters rank as
    they are, and a line through the samples gives their errors. Errors are those
    of all other architectures. The same command resumes an interrupted one. An
    option of the space is set by --set space.OPTION=VALUE.

    [bold]Examples[/]
      nas benchmark latency --table nb201_latency.csv.gz --space nasbench201
        --join nb201_cifar10.csv.gz --samples 10,20,50
      nas benchmark latency --table ofa_mbv3_latency.csv.gz
        --space ofa_mobilenet_v3 --samples 100 --by family
      nas benchmark latency --table hat.csv.gz --device-columns task,device
        --columns encoder_ms+decoder_ms --features encoder_layers,decoder_layers
    """
    from service.benchmarks import latency_benchmark as runs
    from service.benchmarks.latency_devices import LatencyTableRequest, latency_table

    with readable_errors():
        options = named_options(sets)
        if others := [name for name in options if name != "space"]:
            fail(f"--set: only space.OPTION=VALUE is known here, got {others[0]!r}")
        request = LatencyTableRequest(
            path=table,
            space=space,
            space_options=options.get("space", {}),
            join=join,
            key=key,
            columns=names_of(columns),
            device_columns=names_of(device_columns),
            features=names_of(features),
        )
        counts = _counts(samples)
        plan = runs.LatencyPlan(
            table=latency_table(request),
            devices=names_of(device),
            samples=counts,
            seeds=seeds,
            family_too=by == "family",
            predictor=predictor,
        )
        runs.check(plan)
        with resumable("the same command"), display() as observer:
            found = runs.perform(plan, output, observer, workers=workers)
        _show(plan, found, output, table, mlflow=mlflow)


def _show(plan: Any, found: Any, output: Path, table: Path, *, mlflow: bool) -> None:
    from service.benchmarks import latency_report as report

    for shown in report.summary_tables(plan, found):
        console().print(shown)
    console().print(report.device_table(plan, found))
    written = report.write_tables(output, found)
    typer.echo(f"in {output}: {', '.join(path.name for path in written)}")
    if mlflow:
        log_benchmark(report.finished_runs(plan, found, output, table))


def _counts(text: str) -> tuple[int, ...]:
    found = names_of(text)
    wrong = [count for count in found if not count.isdigit()]
    if wrong or not found:
        fail(f"--samples: must be whole numbers such as 10,20,50, got {text!r}")
    return tuple(sorted({int(count) for count in found}))
