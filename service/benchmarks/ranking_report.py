"""The output of `nas benchmark ranking`: the table, the csv, and the summary for MLflow."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from nas.rank_agreement import MEASURES
from service.benchmarks.ranking import TOP_PERCENT, Comparison, Plan, settings
from service.benchmarks.ranking_methods import METHODS
from service.job.folder import read_json, write_json, write_whole
from service.report.terminal import numbers_table
from service.report.text import duration
from service.tracking.finished import FinishedRun, log_finished
from service.tracking.sync import SyncResult
from supernets.estimate import Estimate

_COSTS = ("passes", "train_seconds", "evaluation_seconds")
_TITLES = {"spearman": "Spearman", "kendall": "Kendall", "top_precision": f"top {TOP_PERCENT:g} % precision"}


def budget_lines(plan: Plan) -> str:
    """Return a table of the budget of each method, before anything is spent."""
    first = {run.method: run for run in reversed(plan.runs)}
    lines = []
    for name in dict.fromkeys(run.method for run in plan.runs):
        epochs = f"{first[name].job.train.epochs:g} epochs of steps"
        lines.append(f"{name}: {first[name].passes:,} passes ({epochs}), {METHODS[name].summary}")
    return "\n".join(lines)


def ranking_table(comparison: Comparison) -> Table:
    """Return a table of methods and baselines: mean over seeds with 95 % intervals, passes and seconds of a
    training.
    """
    plan = comparison.plan
    title = f"Ranking of {len(plan.truth.percent):,} architectures of {plan.space.name} ({plan.truth.provenance})"
    caption = "mean over seeds, 95 % intervals; passes and seconds are those of one training"
    table = numbers_table(
        title, "method", "seeds", *(_TITLES[name] for name in _ordered()), "passes", "training", "evaluation"
    )
    table.caption, table.caption_justify = caption, "left"
    for name, ranked in comparison.ranked.items():
        costs = comparison.costs.get(name)
        numbers = [_interval(ranked.measures[measure]) for measure in _ordered()]
        spent = ["0", "-", "-"]
        if costs is not None:
            spent = [f"{costs['passes']:,.0f}", *(duration(costs[cost]) for cost in _COSTS[1:])]
        table.add_row(name, str(len(ranked.seeds)) if costs is not None else "-", *numbers, *spent)
    return table


def lead_table(comparison: Comparison) -> Table | None:
    """Return paired differences to the first method; None where there is only one."""
    first = next(iter(comparison.ranked))
    leads = {name: ranked.lead for name, ranked in comparison.ranked.items() if ranked.lead}
    if not leads:
        return None
    table = numbers_table(
        f"Difference to {first}, paired by architecture and seed", "method", *(_TITLES[name] for name in _ordered())
    )
    for name, lead in leads.items():
        table.add_row(name, *(_interval(lead[measure], sign="+") for measure in _ordered()))
    return table


def write_comparison(comparison: Comparison) -> Path:
    """Return everything in the tables, and the value of each seed, as csv."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["method", "seed", *_columns(), *(f"lead_{name}" for name in _columns()), *_COSTS])
    for row in _rows(comparison):
        writer.writerow(row)
    return write_whole(comparison.plan.output / "ranking.csv", text.getvalue())


def log_comparison(comparison: Comparison) -> SyncResult:
    """Write the summary to `benchmark.json` and MLflow."""
    plan = comparison.plan
    metrics: dict[str, float | None] = {}
    for name, ranked in comparison.ranked.items():
        for measure, estimate in ranked.measures.items():
            metrics |= {f"{measure}/{name}": estimate.value}
            metrics |= {f"{measure}_low/{name}": estimate.low, f"{measure}_high/{name}": estimate.high}
        metrics |= {f"{cost}/{name}": value for cost, value in comparison.costs.get(name, {}).items()}
    content: dict[str, Any] = dict(read_json(plan.output / "benchmark.json") or {})
    content |= {"name": f"{plan.space.name}-ranking", "params": settings(plan), "metrics": metrics}
    write_json(plan.output / "benchmark.json", content)
    run = FinishedRun(
        name=content["name"],
        identity={"nas.benchmark": content["id"], "nas.kind": "benchmark"},
        params=content["params"],
        metrics=metrics,
        files=sorted(path for path in plan.output.iterdir() if path.suffix in (".csv", ".json")),
    )
    return log_finished([run], plan.base.tracking)


def _rows(comparison: Comparison) -> Iterator[list[Any]]:
    """Yield one row for the mean of each method, then one for each of its seeds."""
    for name, ranked in comparison.ranked.items():
        costs = comparison.costs.get(name, {})
        spent = [costs.get(cost, "") for cost in _COSTS]
        yield [name, "mean", *_numbers(ranked.measures), *_numbers(ranked.lead), *spent]
        for place, seed in enumerate(ranked.seeds if costs else ()):
            values = [number for measure in _ordered() for number in (ranked.of_seeds[measure][place], "", "")]
            yield [name, seed, *values, *[""] * len(_columns()), *[""] * len(_COSTS)]


def _numbers(estimates: Mapping[str, Estimate]) -> list[Any]:
    if not estimates:
        return [""] * len(_columns())
    ordered = [estimates[measure] for measure in _ordered()]
    return [number for estimate in ordered for number in (estimate.value, estimate.low, estimate.high)]


def _columns() -> list[str]:
    return [f"{measure}{end}" for measure in _ordered() for end in ("", "_low", "_high")]


def _ordered() -> list[str]:
    """Return the measures as they are shown; papers report Kendall's tau."""
    return sorted(MEASURES, key=lambda name: name != "kendall")


def _interval(estimate: Estimate, *, sign: str = "") -> str:
    return f"{estimate.value:{sign}.3f} [{estimate.low:{sign}.3f}, {estimate.high:{sign}.3f}]"
