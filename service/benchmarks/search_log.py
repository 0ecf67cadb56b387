"""A benchmark of searchers in MLflow: a run for each problem and searcher."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nas.benchmarks.searchers import Comparison
from service.benchmarks import search_report as report
from service.benchmarks.search_benchmark import Plan
from service.tracking.finished import FinishedRun, identity_of

_POINTS = 60


def finished_runs(
    plan: Plan, comparisons: Sequence[Comparison], targets: Sequence[str], folder: Path
) -> Iterator[FinishedRun]:
    """Yield runs with settings, final numbers with intervals, and curves against evaluations."""
    for comparison in comparisons:
        problem = comparison.problem
        count = min(_POINTS, comparison.evaluations)
        steps = np.unique(np.linspace(1, comparison.evaluations, count).round().astype(int))
        for searcher in comparison.best:
            metrics: dict[str, float | None] = {}
            curves: dict[str, list[tuple[int, float]]] = {}
            for measure, estimate in report.figures_of(comparison, searcher, targets).items():
                ends = (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high))
                metrics |= {f"{measure}{end}": value for end, value in ends}
            for measure, curve in comparison.curves[searcher].items():
                for end in ("median", "low", "high"):
                    values = getattr(curve, end)
                    curves[f"{measure}_{end}"] = [(int(step), float(values[step - 1])) for step in steps]
            settings = plan.settings(problem, searcher)
            params = {"problem": problem.name, "searcher": searcher, "runs": plan.seeds, **settings}
            params |= {"objectives": problem.problem.optimised, "limits": _limits(comparison)}
            yield FinishedRun(
                name=f"{problem.name} {searcher}",
                identity=identity_of("search_benchmark", folder, params),
                params=params,
                tags={"mlflow.note.content": "  \n".join(problem.notes)},
                metrics=metrics,
                curves=curves,
                files=tuple(folder / name for name in (report.SUMMARY, report.PAGE, report.IMAGE)),
            )


def _limits(comparison: Comparison) -> str:
    return "; ".join(note for note in comparison.problem.notes if note.startswith("limits")) or "none"
