"""Tables for the terminal: what can be named, search spaces, latency, fine-tuning."""

import inspect
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from service import catalogue
from service.progress import duration

if TYPE_CHECKING:
    from nas.rank_agreement import Agreement
    from service.score_command import Outcome


def latency_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Rows of `profiling.profile`: the median and its interval."""
    table = numbers_table(
        "Latency on this machine", "architecture", "latency ms", "95 % interval", "MACs (M)", "weights (M)"
    )
    for row in rows:
        low, high = row["interval"]
        interval = "-" if low is None else f"{low:.3f} to {high:.3f}"
        costs = (f"{row[cost] / 1e6:.3f}" for cost in ("macs", "params"))
        table.add_row(str(row["name"]), f"{row['latency_ms']:.3f}", interval, *costs)
    return table


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
