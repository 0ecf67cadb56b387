"""The command that compares searchers on problems with known answers: `nas benchmark search`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.options import Sets, named_options, names_of
from service.commands.shared import console, display, log_benchmark, resumable
from service.errors import fail, readable_errors

if TYPE_CHECKING:
    from service.benchmarks.search_benchmark import Plan
    from service.benchmarks.search_problems import ProblemRequest


def benchmark_search(
    searcher: Annotated[
        str, typer.Option("--searcher", metavar="A,B,…", help="Searchers; see nas list searcher.")
    ] = "nsga2,regularized_evolution,random",
    *,
    problem: Annotated[
        str | None,
        typer.Option("--problem", metavar="A,B,…", help="nb201, nb201_DEVICE, nb101, macro, conv_macro, graph, all."),
    ] = None,
    data_folder: Annotated[
        Path | None, typer.Option("--data-folder", metavar="DIR", help="Folder of the tables of --problem.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="csv of architectures and columns of your own.")
    ] = None,
    oracle: Annotated[
        Path | None,
        typer.Option("--oracle", metavar="FILE", help="csv of real evaluations (ks, e, d, imagenet_top1) to fit."),
    ] = None,
    space: Annotated[str | None, typer.Option("--space", metavar="NAME", help="Space of --table or --oracle.")] = None,
    objectives: Annotated[
        str | None,
        typer.Option("--objectives", metavar="A:max,B:min", help="Columns of the table, or macs and params."),
    ] = None,
    join: Annotated[
        Path | None, typer.Option("--join", metavar="FILE", help="More columns of the architectures of --table.")
    ] = None,
    key: Annotated[str, typer.Option("--key", metavar="NAME", help="Column that both files have.")] = "idx",
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit", metavar="'NAME<=N'", help="Hard limit, may be repeated; <=q25: kept by 25 % of the rows."
        ),
    ] = None,
    reference: Annotated[
        str, typer.Option(metavar="TEXT", help="Reference of hypervolumes: worst, nadir, or A=NUMBER,B=NUMBER.")
    ] = "worst",
    predictor: Annotated[
        str, typer.Option(metavar="NAME", help="Predictor of --oracle; see nas list predictor.")
    ] = "gp",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each searcher.")] = 50,
    evaluations: Annotated[
        int | None,
        typer.Option(min=2, help="Evaluations of each run. [dim]Default: 250, or 2 % of a table if fewer[/]"),
    ] = None,
    population: Annotated[
        int | None, typer.Option(min=2, help="Population. [dim]Default: a fifth of the evaluations, at most 50[/]")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="A,B,…",
            help="Searchers whose final hypervolume is the goal. [dim]Default: linas,nsga2[/]",
        ),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(
            "--warm-start", metavar="NAME", help="Known problem that each searcher searches first, as NAME+warm."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes of one thread. [dim]Default: one per core[/]")] = 0,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder of runs, tables and figures.")] = Path(
        "runs/search_benchmark"
    ),
    mlflow: Annotated[
        bool, typer.Option("--mlflow/--no-mlflow", help="Log one MLflow run per problem and searcher.")
    ] = True,
    sets: Sets = None,
) -> None:
    """Compare searchers on problems with known answers.

    Problems are published tables (--problem), a table of your own (--table), or
    predictors fitted to real evaluations of yours (--oracle); no such file comes
    with the program. Architectures that a table lacks are never evaluated. The
    same command resumes an interrupted one. An option of a searcher is set by
    --set SEARCHER.OPTION=VALUE, and one of the space by --set space.OPTION=VALUE.
    SEARCHER/LABEL takes part as a variant of a searcher with options of its own.

    [bold]Examples[/]
      nas benchmark search --problem nb201,macro --data-folder tables
      nas benchmark search --problem nb201 --data-folder tables --limit 'latency_ms<=q25'
      nas benchmark search --table own.csv --space nasbench201
        --objectives acc:max,ms:min --limit 'ms<=5' --searcher nsga2,random
      nas benchmark search --oracle evaluations.csv --set space.width=1.2
      nas benchmark search --oracle evaluations.csv --predictor boosted_trees
      nas benchmark search --problem nb201 --data-folder tables
        --searcher surrogate,linas,linas/repaired,nsga2,nsga2/20
        --set linas/repaired.mutation=redrawn --set nsga2/20.population=20
      nas benchmark search --problem nb201_pixel2 --data-folder tables
        --warm-start nb201_1080ti_1 --searcher surrogate
    """
    from service.benchmarks import search_benchmark as runs
    from service.benchmarks.search_log import finished_runs
    from service.benchmarks.search_problems import ProblemRequest, problems_of
    from service.benchmarks.search_report import targets_of

    with readable_errors():
        searchers, options = names_of(searcher), named_options(sets)
        request = ProblemRequest(
            names=names_of(problem),
            data_folder=data_folder,
            table=table,
            oracle=oracle,
            space=space,
            space_options=options.pop("space", {}),
            objectives=objectives,
            join=join,
            key=key,
            limits=limit or [],
            reference=reference,
            predictor=predictor,
        )
        runs.check_names(searchers, options)
        targets = targets_of(searchers, names_of(target))
        problems, earlier = problems_of(request), _earlier(request, warm_start)
        plan = runs.Plan(
            problems=problems,
            searchers=[name + end for name in searchers for end in ("", runs.WARM)[: 1 + len(earlier)]],
            warm_from=earlier[0] if earlier else None,
            seeds=seeds,
            evaluations=evaluations,
            population=population,
            options=options,
        )
        runs.check(plan)
        _tell_notes(plan)
        with resumable("the same command"), display() as observer:
            comparisons = runs.perform(plan, output, observer, workers=workers)
        _show(plan, comparisons, targets, output)
        if mlflow:
            log_benchmark(finished_runs(plan, comparisons, targets, output))


def _tell_notes(plan: "Plan") -> None:
    from service.benchmarks.search_knowledge import knowledge

    known = knowledge(plan)
    for problem in plan.problems:
        for note in problem.notes:
            typer.echo(f"{problem.name}: {note}")
        for searcher, one in known[problem.name].items():
            if one.footnotes():
                typer.echo(f"{problem.name}: {searcher} knows beforehand: {one.text()}")


def _earlier(request: "ProblemRequest", warm_start: str | None) -> list[Any]:
    """Return the problem that a search begins with the results of, if any."""
    from service.benchmarks.search_problems import problems_of

    if warm_start is None:
        return []
    found = problems_of(replace(request, names=names_of(warm_start), table=None, oracle=None, limits=[]))
    if len(found) > 1:
        fail(f"--warm-start: must be one problem, got {warm_start!r}, which is {len(found)}")
    return found


def _show(plan: "Plan", comparisons: list[Any], targets: list[str], output: Path) -> None:
    from service.benchmarks import search_report as report
    from service.benchmarks.search_knowledge import knowledge
    from service.job.folder import write_whole

    known = knowledge(plan)
    for comparison in comparisons:
        console().print(report.summary_table(comparison, targets, known[comparison.problem.name]))
        if len(comparison.problem.problem.bounds) > 1 or len(comparison.problem.directions) == 1:
            console().print(report.moments_table(comparison))
    written = [
        report.write_summary(output / report.SUMMARY, comparisons, targets, known),
        report.write_curves(output / report.CURVES, comparisons),
        write_whole(output / report.PAGE, report.page(comparisons)),
        write_whole(output / report.IMAGE, report.image(comparisons)),
    ]
    typer.echo(f"in {output}: {', '.join(path.name for path in written)}")
