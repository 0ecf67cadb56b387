"""Tables for the terminal: what can be named, search spaces, latency, fine-tuning."""

import inspect
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from service import catalogue
from service.run.progress import duration

if TYPE_CHECKING:
    from nas.hardware.latency_table import LatencyTable
    from nas.rank_agreement import Agreement
    from service.queue.queue import Status
    from service.run.score import Outcome


def latency_table(rows: Sequence[dict[str, Any]]) -> Group:
    """Rows of `profiling.profile`: latency with its interval, what else was measured, the conditions, what failed."""
    counted = any(row.get("energy_mj") is not None for row in rows)
    columns = ["latency ms", "95 % interval", "images/s", "peak MB", *(["mJ"] if counted else [])]
    table = numbers_table("Latency", "architecture", *columns, "MACs (M)", "weights (M)")
    for row in rows:
        costs = [f"{row[cost] / 1e6:.3f}" for cost in ("macs", "params")]
        if "failed" in row:
            table.add_row(str(row["name"]), "failed", *["-"] * (len(columns) - 1), *costs)
            continue
        low, high = row["interval"]
        interval = "-" if low is None else f"{low:.3f} to {high:.3f}"
        numbers = [row["memory_mb"], *([row["energy_mj"]] if counted else [])]
        beside = ["-" if number is None else f"{number:.2f}" for number in numbers]
        table.add_row(
            str(row["name"]), f"{row['latency_ms']:.3f}", interval, f"{row['throughput_per_s']:,.0f}", *beside, *costs
        )
    lines = [f"failed: {row['name']}: {row['failed']}" for row in rows if "failed" in row]
    lines += dict.fromkeys(conditions_line(row["conditions"]) for row in rows if "conditions" in row)
    return Group(table, *(Text(line) for line in lines))


def conditions_line(conditions: Mapping[str, Any]) -> str:
    """What a latency holds for, in one line."""
    threads = conditions.get("threads")
    parts = [
        conditions.get("device"),
        conditions.get("backend"),
        conditions.get("precision"),
        f"batch {conditions.get('batch_size', '?')}",
        f"{threads} thread{'s' if threads != 1 else ''}" if threads else None,
        f"input {' x '.join(map(str, conditions['input_shape']))}" if conditions.get("input_shape") else None,
    ]
    return ", ".join(str(part) for part in parts if part)


def held_out_table(found: "LatencyTable") -> Table:
    """How far the plain sum of blocks and the corrected one are off on networks that nothing was fitted to."""
    accuracies = found.held_out()
    count = accuracies["sum"].networks if accuracies else 0
    columns = ("mean error", "worst", "bias", "Spearman", "in 95 % interval")
    table = numbers_table(f"Predicted latency of {count} networks not used in the fit", "prediction", *columns)
    for name, label in (("sum", "plain sum of blocks"), ("corrected", "corrected")):
        if name in accuracies:
            a = accuracies[name]
            inside = "-" if a.covered_percent is None else f"{a.covered_percent:.0f} %"
            errors = (f"{a.mape_percent:.1f} %", f"{a.worst_percent:.1f} %", f"{a.bias_percent:+.1f} %")
            table.add_row(label, *errors, f"{a.spearman:.3f}", inside)
    return table


def table_summary(found: "LatencyTable", path: Path) -> str:
    """What a latency table holds, and what to do with it."""
    fitted = sum(network.part == "fit" for network in found.networks)
    slowest = max(network.latency.value for network in found.networks)
    fastest = min(network.latency.value for network in found.networks)
    built = f"{len(found.blocks_ms)} blocks and {len(found.networks)} networks, {fitted} of them for the correction"
    return (
        f"measured in {duration(found.seconds)}: {built}\n"
        f"networks take {fastest:.3f} to {slowest:.3f} ms on {found.conditions.get('device')}\n"
        f"table: {path}; to search with it: nas run JOB --set latency.table={path}"
    )


def retrain_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Rows of `retraining.retrain`."""
    table = numbers_table(
        "Fine-tuned from inherited weights (validation %)", "key", "epochs", "inherited", "fine-tuned", "gain"
    )
    for row in rows:
        before, after = row["inherited_accuracy"], row["retrained_accuracy"]
        gain = ("-", "-") if before is None else (f"{before:.2f}", f"{after - before:+.2f}")
        table.add_row(str(row["key"]), f"{row['epochs']:g}", gain[0], f"{after:.2f}", gain[1])
    return table


def score_table(outcome: "Outcome") -> Table:
    """Each proxy in numbers: how many architectures have a score, and of what size."""
    table = numbers_table("Scores", "proxy", "scored", "least", "median", "greatest")
    for name, values in outcome.columns.items():
        there = [value for value in values.tolist() if isfinite(value)]
        figures = (min(there), median(there), max(there)) if there else ()
        numbers = [f"{value:.6g}" for value in figures] or ["-"] * 3
        table.add_row(name, f"{len(there):,} of {len(values):,}", *numbers)
    return table


def agreement_table(found: Mapping[str, "Agreement"], seconds: Mapping[str, float], provenance: object) -> Table:
    """Each score in the order of its rank correlation, with 95 % intervals."""
    title = f"Agreement with accuracy ({provenance}), 95 % intervals"
    table = numbers_table(title, "proxy", "Spearman", "Kendall", "top 10 % precision", "no score", "s alone")
    for name, agreement in sorted(found.items(), key=lambda item: -item[1].spearman.value):
        measures = (agreement.spearman, agreement.kendall, agreement.top_precision)
        numbers = [f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in measures]
        alone = f"{seconds[name]:.3f}" if name in seconds else "-"
        table.add_row(name, *numbers, str(agreement.not_finite), alone)
    return table


def score_summary(outcome: "Outcome", output: Path) -> str:
    """Where the scores are and how long they took; why some are missing; what random images mean."""
    lines = []
    reasons = Counter(reason for scored in outcome.known.values() for reason in scored.reasons.values())
    lines += [f"no score for {count:,}: {reason}" for reason, count in reasons.most_common(3)]
    if outcome.job.data.source == "noise":
        lines.append("images: random noise; give --data for scores on your images")
    if outcome.fresh:
        pace = outcome.fresh / outcome.seconds
        lines.append(f"scored {outcome.fresh:,} architectures in {duration(outcome.seconds)}, {pace:.1f} a second")
    return "\n".join([*lines, f"table: {output}"])


_STYLES = {"running": "green", "failed": "red", "lost": "red", "cancelling": "yellow", "finished": "dim"}


def jobs_table(statuses: "Sequence[Status]", *, most: int | None = None) -> Table:
    """Jobs of a queue in the given order, at most so many; the title counts all of them.

    Long names and notes take several lines, so that nothing of a row is lost on a terminal of 80 columns.
    """
    counts = Counter(status.state for status in statuses)
    title = ", ".join(f"{count:,} {state}" for state, count in counts.items()) or "no jobs"
    hidden = len(statuses) - len(statuses[:most])
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.caption, table.caption_justify = f"{hidden:,} more: nas jobs" if hidden else None, "left"
    running = [status for status in statuses[:most] if status.total]
    gpus = any(status.gpus for status in statuses[:most])
    for name in ("id", "name", "state", *(["GPU"] if gpus else []), "try", *(["left"] if running else []), "progress"):
        table.add_column(
            name if statuses else "",
            justify="right" if name in ("left", "try") else "left",
            no_wrap=name not in ("name", "progress"),
            overflow="fold",
        )
    for status in statuses[:most]:
        progress = f"{status.stage} {status.done:,.0f}/{status.total:,.0f}" if status.total else status.reason
        cells: list[Any] = [status.id, Text(status.name), Text(status.state, style=_STYLES.get(status.state, ""))]
        cells += [Text("\n".join(gpu[:8] for gpu in status.gpus))] if gpus else []
        cells.append(str(status.attempt) if status.attempt else "")
        cells += [duration(status.left_s) if status.left_s is not None else ""] if running else []
        table.add_row(*cells, Text(progress))
    return table


def numbers_table(title: str, name: str, *numbers: str) -> Table:
    """An empty table with a column of names and columns of numbers."""
    table = Table(title=title, title_justify="left")
    table.add_column(name, style="bold", no_wrap=True)
    for number in numbers:
        table.add_column(number, justify="right", no_wrap=True)
    return table


def names(entries: Mapping[str, Mapping[str, str]]) -> Group:
    """What can be named, kind by kind: name -> one line."""
    width = max(len(name) for summaries in entries.values() for name in summaries)
    parts: list[Any] = []
    for kind, summaries in entries.items():
        lines = _plain()
        lines.columns[0].min_width, lines.columns[0].style = width + 2, "cyan"
        for name, summary in summaries.items():
            lines.add_row(f"  {name}", summary)
        parts += [Text("proxies" if kind == "proxy" else f"{kind}s", style="bold"), lines]
    return Group(*parts)


def space_facts(name: str) -> Group:
    """Size, cost and options of a listed search space, all at their defaults."""
    function = catalogue.resolve("space", name)
    space = function()
    facts = _plain()
    facts.add_row("  architectures", f"{space.count():,}")
    facts.add_row("  decisions", str(len(space.decisions)))
    facts.add_row("  input", f"{' x '.join(map(str, space.input_shape))}, {space.classes} classes")
    costs = space.costs([space.smallest(), space.largest()])
    for title, (low, high) in (("million MACs", costs.macs / 1e6), ("million weights", costs.params / 1e6)):
        facts.add_row(f"  {title}", f"{low:,.2f} to {high:,.2f}")
    options = _plain()
    for option, parameter in inspect.signature(function).parameters.items():
        options.add_row(f"  {option}", Text(_as_yaml(parameter.default)))
    heading = Text("Options (space.options of a job) and their defaults", style="bold")
    return Group(Text(f"{name}: {catalogue.SPACES[name].summary}", style="bold"), facts, heading, options)


def _as_yaml(value: Any) -> str:
    return json.dumps(value, default=str)


def _plain() -> Table:
    """Two columns without lines."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    return table
