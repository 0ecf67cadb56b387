"""The output of `nas benchmark ranking`: the table, the csv, and the summary for MLflow."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from nas.rank_agreement import MEASURES
from service.benchmarks.ranking import TOP_PERCENT, UNTRAINED_PRIOR, Comparison, Plan, settings
from service.benchmarks.ranking_methods import METHODS
from service.job.folder import read_json, write_json, write_whole
from service.report.terminal import numbers_table
from service.report.text import duration
from service.tracking.finished import FinishedRun, log_finished
from service.tracking.sync import SyncResult
from supernets.estimate import Estimate

_COSTS = ("passes", "train_seconds", "evaluation_seconds", "params_kendall")
_STAGES = ("repeats", "steps_of_a_part", "steps_a_path")
_TITLES = {"spearman": "Spearman", "kendall": "Kendall", "top_precision": f"top {TOP_PERCENT:g} % precision"}


def budget_lines(plan: Plan) -> str:
    """Return a table of the budget of each method, before anything is spent."""
    first = {run.method: run for run in reversed(plan.runs)}
    lines = []
    for name in dict.fromkeys(run.method for run in plan.runs):
        epochs = f"{first[name].job.train.epochs:g} epochs of steps"
        lines.append(f"{name}: {first[name].passes:,} passes ({epochs}), {METHODS[name].summary}")
        ways = first[name].stages
        if ways.repeats:
            parts = ", ".join(f"{parts} x {steps:,}" for parts, steps in zip(ways.parts, ways.steps))
            lines.append(f"  parts x steps of each stage: {parts}; choices compared on {ways.repeats} batches")
    return "\n".join(lines)


def ranking_table(comparison: Comparison) -> Table:
    """Return a table of methods and baselines: mean over seeds with 95 % intervals, and the agreement with params."""
    plan = comparison.plan
    title = f"Ranking of {len(plan.truth.percent):,} architectures of {plan.space.name} ({plan.truth.provenance})"
    caption = (
        "mean over seeds, 95 % intervals; with params: Kendall of the ranking with that by parameters; "
        f"{UNTRAINED_PRIOR}: choices with weights counted"
    )
    table = numbers_table(title, "method", "seeds", *(_TITLES[name] for name in _ordered()), "with params")
    table.caption, table.caption_justify = caption, "left"
    for name, ranked in comparison.ranked.items():
        costs = comparison.costs.get(name)
        numbers = [_interval(ranked.measures[measure]) for measure in _ordered()]
        seeds, params = ("-", "-") if costs is None else (str(len(ranked.seeds)), f"{costs['params_kendall']:.3f}")
        table.add_row(name, seeds, *numbers, params)
    return table


def cost_table(comparison: Comparison) -> Table:
    """Return a table of the passes, steps and seconds of one training of each method."""
    table = numbers_table(
        "One training",
        *("method", "passes", "parts", "steps of a part", "steps a path", "repeats", "training", "evaluation"),
    )
    table.caption = "a part: of those ranked in the end; a path: one choice of a decision, on average"
    table.caption_justify = "left"
    ways_of = {run.method: run.stages for run in comparison.plan.runs}
    for name, costs in comparison.costs.items():
        ways = ways_of[name]
        spent = [f"{costs['passes']:,.0f}", str(ways.parts[-1]), f"{ways.steps[-1]:,}", f"{ways.per_path:,.0f}"]
        seconds = [duration(costs[cost]) for cost in ("train_seconds", "evaluation_seconds")]
        table.add_row(name, *spent, str(ways.repeats or "-"), *seconds)
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
    writer.writerow(["method", "seed", *_columns(), *(f"lead_{name}" for name in _columns()), *_COSTS, *_STAGES])
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
    ways_of = {run.method: run.stages for run in comparison.plan.runs}
    for name, ranked in comparison.ranked.items():
        costs = comparison.costs.get(name, {})
        spent = [costs.get(cost, "") for cost in _COSTS]
        ways = ways_of.get(name)
        spent += [""] * len(_STAGES) if ways is None else [ways.repeats, ways.steps[-1], round(ways.per_path)]
        yield [name, "mean", *_numbers(ranked.measures), *_numbers(ranked.lead), *spent]
        for place, seed in enumerate(ranked.seeds if costs else ()):
            values = [number for measure in _ordered() for number in (ranked.of_seeds[measure][place], "", "")]
            yield [name, seed, *values, *[""] * len(_columns()), *[""] * len(_COSTS + _STAGES)]


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
