"""The results of a benchmark of searchers: tables for the terminal, csv, and figures."""

import html
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from nas.benchmarks.searchers import Comparison, Curve, median_interval
from service.benchmarks.search_knowledge import Known, footnotes
from service.errors import InvalidJob
from service.job.folder import write_csv
from service.report.figures import finite
from supernets.estimate import Estimate

TARGETS = ("linas", "nsga2")
"""Searchers whose final hypervolume others are timed to reach, where they take part."""
SUMMARY, CURVES, PAGE, IMAGE = "summary.csv", "curves.csv", "benchmark.html", "benchmark.png"
_MOMENTS = (0.1, 0.25, 0.5, 1.0)
_COLOURS = (
    "#c2410c",
    "#1d4ed8",
    "#15803d",
    "#7e22ce",
    "#b45309",
    "#0e7490",
    "#be185d",
    "#4d7c0f",
    "#475569",
    "#a16207",
)
_DRAWN_POINTS = 120
_SHOWN_FROM = 0.1


def targets_of(searchers: Sequence[str], asked: Sequence[str] = ()) -> list[str]:
    """Return the searchers whose final hypervolume is a target: those asked for, else LINAS and NSGA-II, else the
    first.

    Raises:
        InvalidJob: A given searcher does not take part.
    """
    absent = [name for name in asked if name not in searchers]
    if absent:
        raise InvalidJob([f"--target: {absent[0]!r} does not take part; allowed: {', '.join(searchers)}"])
    return list(asked) or [name for name in TARGETS if name in searchers] or [searchers[0]]


def figures_of(comparison: Comparison, searcher: str, targets: Sequence[str]) -> dict[str, Estimate]:
    """Return the numbers of one searcher on one problem, medians over runs with 95 % intervals."""
    overheads = comparison.overheads[searcher]
    found = {
        "hypervolume_share": median_interval(comparison.share(searcher)[:, -1]),
        "best": median_interval(comparison.best[searcher][:, -1]),
    }
    regret = comparison.regret(searcher)
    if regret is not None:
        found["regret"] = median_interval(regret[:, -1])
    for target in targets:
        found[f"evaluations_to_{target}"] = median_interval(comparison.evaluations_to_final(searcher, target))
    for i, name in enumerate(("overhead_s", "overhead_cpu_s", "overhead_worst_s")):
        found[name] = median_interval(overheads[:, i])
    return found


# ---- on the terminal ------------------------------------------------------------------------------------------------


def summary_table(comparison: Comparison, targets: Sequence[str], known: Mapping[str, Known]) -> Table:
    """Return one row per searcher: what it knows beforehand, its result, its speed, and its own cost."""
    of = "true" if comparison.is_true else "best found"
    first = comparison.problem.directions[0][0]
    runs = len(next(iter(comparison.best.values())))
    title = f"{comparison.problem.name}: {comparison.evaluations} evaluations, {runs} runs; medians, 95 % intervals"
    table = Table(title=title, title_justify="left", caption=_caption(comparison, known), caption_justify="left")
    table.add_column("searcher", style="bold", no_wrap=True)
    table.add_column("knows beforehand")
    numbers = [f"hypervolume, % of {of}", first, *(["regret"] if comparison.best_possible is not None else [])]
    for column in [*numbers, *(f"evaluations to {target}'s" for target in targets), "own ms each", "own CPU ms"]:
        table.add_column(column, justify="right")
    for name in comparison.best:
        found = figures_of(comparison, name, targets)
        cells = [_interval(found["hypervolume_share"], "{:.2f}", 100), _interval(found["best"], "{:.4g}")]
        cells += [f"{found['regret'].value:.3g}"] if "regret" in found else []
        cells += [_interval(found[f"evaluations_to_{t}"], "{:.0f}", limit=comparison.evaluations) for t in targets]
        cells += [f"{found[key].value * 1000:.2f}" for key in ("overhead_s", "overhead_cpu_s")]
        table.add_row(name, known[name].text(), *cells)
    return table


def _caption(comparison: Comparison, known: Mapping[str, Known]) -> str | None:
    ended = _ended_early(comparison)
    return "\n".join([*footnotes(known), *([ended] if ended else [])]) or None


def _ended_early(comparison: Comparison) -> str | None:
    """Return which runs had nothing new to propose before all evaluations were spent."""
    short = {name: int((lengths < comparison.evaluations).sum()) for name, lengths in comparison.lengths.items()}
    said = [
        f"{count} of {len(comparison.lengths[name])} runs of {name} ended early"
        for name, count in short.items()
        if count
    ]
    return f"{'; '.join(said)}: nothing new was proposed" if said else None


def moments_table(comparison: Comparison) -> Table:
    """Return the best feasible value of the first objective after some evaluations."""
    first = comparison.problem.directions[0][0]
    moments = sorted({max(1, round(share * comparison.evaluations)) for share in _MOMENTS})
    possible = "" if comparison.best_possible is None else f", best possible {comparison.best_possible:.5g}"
    table = Table(title=f"{comparison.problem.name}: {first}, best feasible so far{possible}", title_justify="left")
    table.add_column("searcher", style="bold", no_wrap=True)
    for moment in moments:
        table.add_column(f"after {moment}", justify="right")
    for name, values in comparison.best.items():
        table.add_row(name, *(_interval(median_interval(values[:, m - 1]), "{:.5g}") for m in moments))
    return table


def _interval(estimate: Estimate, form: str, scale: float = 1.0, *, limit: float | None = None) -> str:
    def text(value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return "-" if limit is None else f">{limit:g}"
        return form.format(value * scale)

    return f"{text(estimate.value)} [{text(estimate.low)}, {text(estimate.high)}]"


# ---- csv ------------------------------------------------------------------------------------------------------------


def write_summary(
    path: Path,
    comparisons: Sequence[Comparison],
    targets: Sequence[str],
    known: Mapping[str, Mapping[str, Known]],
) -> Path:
    """Return one row for each problem, searcher and measure; cells are empty where evaluations did not suffice."""
    beforehand = ["exact_objectives", "summaries", "settings_chosen_on"]
    header = ["problem", "searcher", "runs", "evaluations", "measure", "median", "low", "high", *beforehand]
    rows = [
        [
            *(c.problem.name, name, len(c.best[name]), c.evaluations, measure),
            *map(_cell, (e.value, e.low, e.high)),
            *(" ".join(known[c.problem.name][name].exact), int(known[c.problem.name][name].summaries)),
            known[c.problem.name][name].chosen_on,
        ]
        for c in comparisons
        for name in c.best
        for measure, e in figures_of(c, name, targets).items()
    ]
    return write_csv(path, header, rows)


def write_curves(path: Path, comparisons: Sequence[Comparison]) -> Path:
    """Return one row for each problem, searcher and evaluation."""
    ends = ("median", "mean", "low", "high")
    measures = ("hypervolume_share", "best")
    header = ["problem", "searcher", "evaluations", *(f"{measure}_{end}" for measure in measures for end in ends)]
    rows = []
    for comparison in comparisons:
        for name in comparison.best:
            curves = comparison.curves[name]
            columns = [getattr(curves[measure], end) for measure in measures for end in ends]
            for step, numbers in enumerate(zip(*columns), start=1):
                rows.append([comparison.problem.name, name, step, *map(_cell, numbers)])
    return write_csv(path, header, rows)


def _cell(value: float | None) -> str:
    number = finite(None if value is None else float(value))
    return "" if number is None else f"{number:.8g}"


# ---- figures --------------------------------------------------------------------------------------------------------


def page(comparisons: Sequence[Comparison]) -> str:
    """Return a page of its own, free of the network: every problem with hypervolume and best value against
    evaluations.
    """
    parts = []
    for place, comparison in enumerate(comparisons):
        notes = "<br>".join(html.escape(note) for note in comparison.problem.notes)
        parts.append(f"<h2>{html.escape(comparison.problem.name)}</h2><p>{notes}</p>")
        parts.append(
            _figure(comparison).to_html(
                include_plotlyjs=place == 0, full_html=False, config={"displaylogo": False, "responsive": True}
            )
        )
    style = "body{font-family:system-ui,sans-serif;max-width:1200px;margin:2em auto;color:#1e293b}p{color:#475569}"
    head = f"<meta charset='utf-8'><title>Search benchmark</title><style>{style}</style>"
    return f"<!doctype html><html><head>{head}</head><body><h1>Search benchmark</h1>{''.join(parts)}</body></html>"


def _figure(comparison: Comparison) -> Any:
    from plotly.subplots import make_subplots

    labels = _labels(comparison)
    figure = make_subplots(cols=2, rows=1, subplot_titles=list(labels.values()), horizontal_spacing=0.08)
    for colour, name in zip(_colours(len(comparison.best)), comparison.best):
        for column, measure in enumerate(labels, start=1):
            steps, curve = _drawn(comparison, name, measure)
            shown = {"legendgroup": name, "hoverinfo": "skip", "showlegend": False, "line": {"width": 0}}
            figure.add_scatter(x=steps, y=_plain(curve.high[steps - 1]), mode="lines", row=1, col=column, **shown)
            band = {**shown, "fill": "tonexty", "fillcolor": colour, "opacity": 0.12}
            figure.add_scatter(x=steps, y=_plain(curve.low[steps - 1]), mode="lines", row=1, col=column, **band)
            figure.data[-1].fillcolor = f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},0.12)"
            line = {"color": colour, "width": 2}
            median = {"name": name, "legendgroup": name, "showlegend": column == 1, "line": line}
            figure.add_scatter(x=steps, y=_plain(curve.median[steps - 1]), mode="lines", row=1, col=column, **median)
    for column, measure in enumerate(labels, start=1):
        figure.update_yaxes(range=_visible(comparison, measure), row=1, col=column)
    figure.update_xaxes(title_text="evaluations")
    figure.update_layout(template="plotly_white", height=440, hovermode="x unified", margin={"t": 40, "b": 50})
    return figure


def image(comparisons: Sequence[Comparison]) -> bytes:
    """Return the figure as a PNG image, one row per problem; medians with their intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4 * len(comparisons)), dpi=110, layout="constrained")
    grid = figure.subplots(len(comparisons), 2, squeeze=False)
    for row, comparison in zip(grid, comparisons):
        for axes, (measure, label) in zip(row, _labels(comparison).items()):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(color="#e2e8f0", linewidth=0.8)
            axes.set(xlabel="evaluations", ylabel=label)
            axes.set_title(comparison.problem.name, loc="left", fontsize=11)
            axes.set_ylim(_visible(comparison, measure))
            for colour, name in zip(_colours(len(comparison.best)), comparison.best):
                steps, curve = _drawn(comparison, name, measure)
                axes.plot(steps, _gaps(curve.median[steps - 1]), color=colour, linewidth=1.6, label=name)
                ends = (_gaps(curve.low[steps - 1]), _gaps(curve.high[steps - 1]))
                axes.fill_between(steps, *ends, color=colour, alpha=0.12, linewidth=0)
        row[0].legend(loc="lower right", fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _labels(comparison: Comparison) -> dict[str, str]:
    of = "true hypervolume" if comparison.is_true else "best known hypervolume"
    first = comparison.problem.directions[0][0]
    return {"hypervolume_share": f"share of the {of}", "best": f"best feasible {first}"}


def _drawn(comparison: Comparison, searcher: str, measure: str) -> tuple[np.ndarray, Curve]:
    """Return the evaluations at which a curve is drawn, and the curve."""
    count = min(_DRAWN_POINTS, comparison.evaluations)
    steps = np.unique(np.linspace(1, comparison.evaluations, count).round().astype(int))
    return steps, comparison.curves[searcher][measure]


def _visible(comparison: Comparison, measure: str) -> tuple[float, float]:
    """Return the part of an axis in which searchers differ: the range of medians after a tenth of the evaluations."""
    first = max(0, round(_SHOWN_FROM * comparison.evaluations) - 1)
    shown = np.concatenate([comparison.curves[name][measure].median[first:] for name in comparison.best])
    shown = shown[np.isfinite(shown)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    margin = 0.08 * (high - low) or 0.01
    return low - margin, high + margin


def _colours(count: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(count)]


def _plain(values: np.ndarray) -> list[float | None]:
    return [finite(value) for value in values.tolist()]


def _gaps(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)
