"""Tables for the terminal: what can be named, search spaces, latency, fine-tuning."""

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from service import catalogue


def latency_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Rows of `profiling.profile`: the median and its interval."""
    table = _table("Latency on this machine", "architecture", "latency ms", "95 % interval", "MACs (M)", "weights (M)")
    for row in rows:
        low, high = row["interval"]
        interval = "-" if low is None else f"{low:.3f} to {high:.3f}"
        costs = (f"{row[cost] / 1e6:.3f}" for cost in ("macs", "params"))
        table.add_row(str(row["name"]), f"{row['latency_ms']:.3f}", interval, *costs)
    return table


def retrain_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Rows of `retraining.retrain`."""
    table = _table(
        "Fine-tuned from inherited weights (validation %)", "key", "epochs", "inherited", "fine-tuned", "gain"
    )
    for row in rows:
        before, after = row["inherited_accuracy"], row["retrained_accuracy"]
        gain = ("-", "-") if before is None else (f"{before:.2f}", f"{after - before:+.2f}")
        table.add_row(str(row["key"]), f"{row['epochs']:g}", gain[0], f"{after:.2f}", gain[1])
    return table


def _table(title: str, name: str, *numbers: str) -> Table:
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
        parts += [Text(f"{kind}s", style="bold"), lines]
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
