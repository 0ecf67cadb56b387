"""The results of a benchmark of latency predictors: tables for the terminal, csv and MLflow runs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from nas.benchmarks.latency import CHOSEN, MEASURES, RANDOM, TRANSFER, Errors, Summary, mean_over_seeds, summaries
from service.benchmarks.latency_benchmark import LatencyPlan
from service.job.folder import write_csv
from service.report.terminal import numbers_table
from service.tracking.finished import FinishedRun, identity_of
from supernets.estimate import Estimate

SUMMARY, DEVICES = "summary.csv", "devices.csv"
_ENDS = ("", "_low", "_high")

Found = Mapping[str, Sequence[Sequence[Errors]]]


def summary_tables(plan: LatencyPlan, found: Found) -> Iterator[Table]:
    """Yield one table for each number of samples, with a row for each method and choice."""
    rows = summaries(found)
    unknown = "with their families" if plan.family_too else "alone"
    for samples in plan.samples:
        title = f"{samples} samples, {plan.seeds} seeds; devices, held out {unknown}: {len(found)}; 95 % intervals"
        numbers = ("Spearman, mean", "worst device", "MAPE %", "worst %", "in 95 % interval")
        table = numbers_table(title, "method, samples", *numbers)
        for row in (row for row in rows if row.samples == samples):
            worst = f"{row.worst_spearman.value:.3f} {row.worst}"
            figures = [_interval(row.mean["spearman"], "{:.4f}"), worst, _interval(row.mean["mape_percent"], "{:.2f}")]
            covered = row.mean["covered_percent"].value
            figures += [f"{row.mean['worst_percent'].value:.0f}", f"{covered:.0f} %" if math.isfinite(covered) else "-"]
            table.add_row(f"{row.method}, {row.choice}", *figures)
        yield table


def device_table(plan: LatencyPlan, found: Found) -> Table:
    """Return Spearman and MAPE of the transfer on each device, and of the best other method."""
    samples = min(plan.samples)
    keys = list(dict.fromkeys((e.method, e.choice) for seeds in found.values() for errors in seeds for e in errors))
    shown = [key for key in keys if key[1] == (CHOSEN if key[0] == TRANSFER else RANDOM)]
    columns = (f"{method}, {choice}" for method, choice in shown)
    table = numbers_table(f"each device, {samples} samples: Spearman (MAPE %)", "device", *columns)
    for device, seeds in found.items():
        cells = []
        for key in shown:
            values = _values(seeds, (*key, samples)).mean(0)
            cells.append(f"{values[0]:.3f} ({values[1]:.1f})")
        table.add_row(device, *cells)
    return table


def write_tables(folder: Path, found: Found) -> list[Path]:
    """Return the means over devices, and every device, as csv."""
    header = ["method", "choice", "samples"]
    ends = [f"{measure}{end}" for measure in MEASURES for end in _ENDS]
    worst = ["worst_device", *(f"worst_spearman{end}" for end in _ENDS)]
    rows = summaries(found)
    means = [
        [r.method, r.choice, r.samples, *_cells(r.mean[m] for m in MEASURES), r.worst, *_cells([r.worst_spearman])]
        for r in rows
    ]
    devices = [
        [device, r.method, r.choice, r.samples, *_cells(_estimates(seeds, (r.method, r.choice, r.samples)))]
        for device, seeds in found.items()
        for r in rows
    ]
    return [
        write_csv(folder / SUMMARY, [*header, *ends, *worst], means),
        write_csv(folder / DEVICES, ["device", *header, *ends], devices),
    ]


def finished_runs(plan: LatencyPlan, found: Found, folder: Path, table: Path) -> Iterator[FinishedRun]:
    """Yield an MLflow run for each method and choice; its curves are against the number of samples."""
    by_method: dict[tuple[str, str], list[Summary]] = {}
    for row in summaries(found):
        by_method.setdefault((row.method, row.choice), []).append(row)
    for (method, choice), rows in by_method.items():
        metrics: dict[str, float | None] = {}
        curves: dict[str, list[tuple[int, float]]] = {}
        for row in rows:
            for name, estimate in {**row.mean, "worst_device_spearman": row.worst_spearman}.items():
                metrics[f"{name}_at_{row.samples}"] = estimate.value
                if math.isfinite(estimate.value):
                    curves.setdefault(name, []).append((row.samples, estimate.value))
        params = {"table": table.name, "method": method, "choice": choice, "seeds": plan.seeds}
        params |= {"devices": len(found), "held_out": "family" if plan.family_too else "device"}
        params |= {"samples": plan.samples, "predictor": plan.predictor}
        yield FinishedRun(
            name=f"{table.name.partition('.')[0]} {method}, {choice}",
            identity=identity_of("latency_benchmark", folder, params),
            params=params,
            metrics=metrics,
            curves=curves,
            files=(folder / SUMMARY, folder / DEVICES),
        )


def _values(seeds: Sequence[Sequence[Errors]], key: tuple[str, str, int]) -> np.ndarray:
    """Return the values [seeds, measures] of a method, choice and number of samples."""
    return np.array([e.values for errors in seeds for e in errors if (e.method, e.choice, e.samples) == key])


def _estimates(seeds: Sequence[Sequence[Errors]], key: tuple[str, str, int]) -> list[Estimate]:
    return [mean_over_seeds(name, column) for name, column in zip(MEASURES, _values(seeds, key).T)]


def _interval(estimate: Estimate, form: str) -> str:
    text = form.format(estimate.value)
    return text if estimate.low is None else f"{text} [{form.format(estimate.low)}, {form.format(estimate.high)}]"


def _cells(estimates: "Iterator[Estimate] | Sequence[Estimate]") -> list[str]:
    numbers = [number for e in estimates for number in (e.value, e.low, e.high)]
    return ["" if number is None or not math.isfinite(number) else f"{number:.6g}" for number in numbers]
