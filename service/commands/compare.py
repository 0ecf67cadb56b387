"""The commands that show fronts to people: `nas compare` and `nas report`."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from service import catalogue
from service.commands.shared import console, store_address
from service.errors import fail, readable_errors

if TYPE_CHECKING:
    from service.report.page import Findings

_PAGE = "report.html"

Runs = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Job folders, or ids or names of jobs in the MLflow store.")
]
Objectives = Annotated[
    str | None,
    typer.Option("--objectives", metavar="A,B", help="Objectives to compare by. [dim]Default: those of the search[/]"),
]
Budgets = Annotated[
    str | None,
    typer.Option("--budgets", metavar="N,N", help="Budgets of the first cost. [dim]Default: six round numbers[/]"),
]
Reference = Annotated[
    str | None,
    typer.Option(
        "--reference", metavar="A=N,B=N", help="Worst values that count. [dim]Default: a tenth beyond the worst[/]"
    ),
]
Uri = Annotated[
    str | None, typer.Option("--uri", metavar="URI", help="Tracking store. [dim]Default: runs/mlflow.db here[/]")
]
Anyway = Annotated[bool, typer.Option("--anyway", help="Compare in spite of different data or conditions, and say so.")]


def compare(
    runs: Runs,
    *,
    objectives: Objectives = None,
    budgets: Budgets = None,
    reference: Reference = None,
    uri: Uri = None,
    anyway: Anyway = False,
) -> None:
    """Compare the fronts of two or more jobs.

    It shows the fronts side by side, their hypervolume in one common box, how
    much of each front every other one equals or beats (both ways), and the best
    member of each for a budget. Qualities on different data, and latencies of
    different machines or settings, are not compared.

    [bold]Examples[/]
      nas compare runs/nsga2 runs/random
      nas compare runs/a runs/b --objectives accuracy,macs
      nas compare runs/a runs/b --budgets 1,2,5 --reference accuracy=90,latency_ms=10
      nas compare digits-a digits-b --uri http://tracking:5000     jobs by their names in MLflow
    """
    with readable_errors(also=(OSError, ImportError)):
        if len(set(runs)) < 2:
            fail(f"compare: needs two runs or more, got {runs[0]} alone; one front is shown by: nas show {runs[0]}")
        with _findings(runs, _Asked(objectives, budgets, reference, uri, anyway)) as findings:
            from service.report import comparison

            for part in comparison.parts(findings):
                console().print(part, highlight=False, soft_wrap=isinstance(part, str), markup=False)


def report(
    runs: Runs,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help=f"File to write. [dim]Default: DIR/report/{_PAGE}; for several runs ./{_PAGE}[/]",
        ),
    ] = None,
    objectives: Objectives = None,
    budgets: Budgets = None,
    reference: Reference = None,
    uri: Uri = None,
    anyway: Anyway = False,
) -> None:
    """Write one page about one job or several, for people who never saw architecture search.

    It is one HTML file that works offline. It says which network to take for
    which budget, shows all fronts in a figure, and tells what was searched and
    how quality and latency were measured.

    [bold]Examples[/]
      nas report runs/my                               writes runs/my/report/report.html
      nas report runs/nsga2 runs/random --output comparison.html
      nas report runs/my --budgets 1,2,5               networks for 1, 2 and 5 ms
    """
    with readable_errors(also=(OSError, ImportError)):
        target = output or _default_page(runs)
        if target.is_dir():
            fail(f"--output: {target} is a folder; must be a file")
        with _findings(runs, _Asked(objectives, budgets, reference, uri, anyway)) as findings:
            from service.job.folder import write_whole
            from service.report.page import page

            write_whole(target, page(findings))
        typer.echo(f"report: {target}")


def _default_page(runs: Sequence[str]) -> Path:
    folder = Path(runs[0])
    return folder / "report" / _PAGE if len(runs) == 1 and folder.is_dir() else Path(_PAGE)


class _Asked(NamedTuple):
    """The options of both commands, as they were typed."""

    objectives: str | None
    budgets: str | None
    reference: str | None
    uri: str | None
    anyway: bool


@contextmanager
def _findings(runs: Sequence[str], asked: _Asked) -> Iterator["Findings"]:
    """Yield the fronts and their comparison; files fetched from MLflow exist as long as this is open."""
    from nas.benchmarks.front_comparison import compare_fronts
    from service.report.differences import errors_of
    from service.report.fronts import fronts_of, terms_of
    from service.report.fronts_figure import axes_of
    from service.report.page import Findings

    budgets = _numbers("--budgets", asked.budgets)
    names = [name.strip() for name in (asked.objectives or "").split(",") if name.strip()]
    with tempfile.TemporaryDirectory(prefix="nas-fronts-") as fetched:
        places = {run: Path(fetched) / str(place) for place, run in enumerate(runs)}
        fronts = fronts_of({run: _folder(run, asked.uri, place) for run, place in places.items()})
        terms = terms_of(fronts, names, anyway=asked.anyway)
        corner = _reference(asked.reference, [name for name, _ in terms.directions])
        try:
            errors = errors_of(fronts, terms.directions)
            found = compare_fronts(
                {f.name: f.members for f in fronts}, terms.directions, reference=corner, errors=errors
            )
        except ValueError as error:
            fail(f"--reference: {error}" if corner else str(error))
        yield Findings(fronts=fronts, terms=terms, axes=axes_of(fronts, terms), comparison=found, budgets=budgets)


def _folder(run: str, uri: str | None, fetched: Path) -> Path:
    """Return the job folder of this name, or the folder fetched from a run of this name in the store."""
    if Path(run).is_dir():
        return Path(run)
    if Path(run).exists():
        fail(f"{run}: is a file; must be a job folder, or the id or name of a job in MLflow")
    from service.tracking.fetching import fetch_job
    from service.tracking.place import default_uri

    return fetch_job(run, store_address(uri) if uri else default_uri(), fetched)


def _numbers(option: str, text: str | None) -> list[float]:
    numbers = []
    for part in (text or "").split(",") if text else []:
        try:
            number = float(part)
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            fail(f"{option}: must be numbers above 0 such as 1,2.5, got {part.strip()!r}")
        numbers.append(number)
    return sorted(set(numbers))


def _reference(text: str | None, names: Sequence[str]) -> dict[str, float] | None:
    """Parse `A=N,B=N` into numbers by the names of all objectives."""
    if text is None:
        return None
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in names:
            fail(f"--reference: unknown objective {name!r}{catalogue.suggestion(name, names)}")
        try:
            found[name] = float(number)
        except ValueError:
            fail(f"--reference: must be NAME=NUMBER, got {part.strip()!r}")
    if lacking := [name for name in names if name not in found]:
        fail(f"--reference: must name every objective, {', '.join(lacking)} is missing")
    return found
