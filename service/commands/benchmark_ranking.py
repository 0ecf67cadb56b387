"""The command that compares ways to train supernets: `nas benchmark ranking`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import Device, Sets
from service.commands.shared import console, display, resumable
from service.errors import readable_errors


class Norm(StrEnum):
    """The statistics of batch norm where subnets are ranked."""

    batch = "batch"
    calibrated = "calibrated"


class Equal(StrEnum):
    """What methods share."""

    passes = "passes"
    path = "path"


def benchmark_ranking(
    source: Annotated[
        str | None,
        typer.Argument(metavar="RECIPE | FILE | DIR", help="Job to train. [dim]Default: published settings[/]"),
    ] = None,
    *,
    table: Annotated[Path, typer.Option("--table", metavar="FILE", help="csv of architectures and their accuracies.")],
    column: Annotated[str, typer.Option("--column", metavar="NAME", help="Column of the table with the accuracies.")],
    methods: Annotated[
        str, typer.Option("--methods", metavar="A,B,…", help="Methods; the others are compared with the first.")
    ],
    space: Annotated[
        str | None, typer.Option("--space", metavar="NAME", help="Search space; see nas list space.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="PATH", help="Images, npz or folder.")] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0, help="Epochs with one subnet per step, or as many passes.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(metavar="PASSES", min=1, help="Passes of a training, instead of --epochs.")
    ] = None,
    equal: Annotated[
        Equal,
        typer.Option("--equal", help="What all methods share: passes, or the steps that train a path."),
    ] = Equal.passes,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each method.")] = 3,
    archs: Annotated[int, typer.Option(min=3, help="Random rows of the table to rank.")] = 500,
    images: Annotated[
        int | None, typer.Option(min=1, help="Validation images to rank on. [dim]Default: all[/]")
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Most images of one batch in the ranking.")] = 500,
    batch_norm: Annotated[
        Norm, typer.Option("--batch-norm", help="Statistics of each batch, or calibrated ones.")
    ] = Norm.batch,
    provenance: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Origin of your own column: dataset=…,epochs=…,split=test,seeds=…"),
    ] = None,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder of all trainings.")] = Path(
        "runs/ranking"
    ),
    workers: Annotated[int, typer.Option(min=1, help="Trainings at the same time.")] = 1,
    sets: Sets = None,
    device: Device = None,
) -> None:
    """Measure how well supernets rank architectures, for several ways to train them.

    Each method trains with each seed, for the same number of forward and backward
    passes. Then rows of the table are ranked with inherited weights on the
    validation images: Kendall, Spearman and precision of the top 5 %, with 95 %
    intervals. The same command resumes an interrupted one, and adds more methods,
    seeds or rows to its results.

    Parts of a split share the passes, so each choice is trained less than in
    published comparisons. --equal path trains each choice as often as without
    splits, with more passes. The method prior is a control: a sampler that prefers
    choices with weights and learns nothing.

    [bold]Methods[/]
      uniform, fair, sandwich, pa_da, path_adaptive, data_adaptive, gm, few_shot,
      pa_da+gm, mixture, shift, sorted, prior; of learned architectures darts,
      darts_unrolled, amended, neumann, gdas, drnas, tangled. What they are: nas list
      method. A setting of one: --set gm:train.split.rounds=1

    [bold]Examples[/]
      nas benchmark ranking --space nasbench201 --table nb201.csv.gz
        --column c10_test_200 --methods uniform,fair,pa_da,gm --data c10.npz
        --epochs 20 --images 1000 --set data.image_size=16
        --set space.options.width=8 --set space.options.cells=1     on a CPU
      nas benchmark ranking pa_da_nasbench201 --table nb201.csv.gz --data c10.npz
        --column c10_test_200 --methods uniform,pa_da --archs 1000  as published
      nas benchmark ranking --space nasbench_macro --table macro.csv.gz
        --column mean_acc --methods uniform,pa_da --data c10.npz --budget 20000
    """
    from service.benchmarks import proxy_benchmark, ranking, ranking_report
    from service.benchmarks.ranking_run import Judging

    request = ranking.Request(
        source=source,
        space=space,
        data=data,
        sets=[*(sets or []), *([f"device={device}"] if device else [])],
        table=proxy_benchmark.TableRequest(path=table, column=column, provenance=provenance, sample=archs),
        methods=methods,
        seeds=seeds,
        epochs=epochs,
        passes=budget,
        per_path=equal is Equal.path,
        judging=Judging(batch_norm=batch_norm.value, images=images, batch_size=batch),
        output=output,
    )
    with readable_errors():
        plan = ranking.plan(request)
        typer.echo(ranking_report.budget_lines(plan))
        with resumable("the same command"), display() as observer:
            comparison = ranking.perform(plan, observer, typer.echo, workers=workers)
        out = console()
        out.print(ranking_report.ranking_table(comparison))
        out.print(ranking_report.cost_table(comparison))
        if (leads := ranking_report.lead_table(comparison)) is not None:
            out.print(leads)
        written = ranking_report.write_comparison(comparison)
        logged = ranking_report.log_comparison(comparison)
    typer.echo(f"tables: {written}, {output / 'accuracies.csv'}")
    if logged.error:
        typer.echo(f"MLflow is not reached ({logged.error}); the same command logs it later")
