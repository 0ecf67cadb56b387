"""The output of `nas list`: all names, and the facts of one search space."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from service import catalogue

_PLURALS = {"proxy": "proxies", "data": "data"}
"""Headings of kinds that are more than the kind and an s."""


def names(entries: Mapping[str, Mapping[str, str]]) -> Group:
    """Return a table of all names, kind by kind, with one line for each."""
    width = max(len(name) for summaries in entries.values() for name in summaries)
    parts: list[Any] = []
    for kind, summaries in entries.items():
        lines = _plain()
        lines.columns[0].min_width, lines.columns[0].style = width + 2, "cyan"
        for name, summary in summaries.items():
            lines.add_row(f"  {name}", summary)
        parts += [Text(_PLURALS.get(kind, f"{kind}s"), style="bold"), lines]
    return Group(*parts)


def space_facts(name: str) -> Group:
    """Return size, cost and options of a listed search space with its defaults."""
    space = catalogue.make("space", name)
    facts = _plain()
    facts.add_row("  architectures", f"{space.count():,}")
    facts.add_row("  decisions", str(len(space.decisions)))
    facts.add_row("  input", ", ".join(" x ".join(map(str, one.shape)) for one in space.inputs))
    costs = space.costs([space.smallest(), space.largest()])
    for title, (low, high) in (("million MACs", costs["macs"] / 1e6), ("million weights", costs["params"] / 1e6)):
        facts.add_row(f"  {title}", f"{low:,.2f} to {high:,.2f}")
    options = _plain()
    for option, parameter in catalogue.parameters("space", name).items():
        options.add_row(f"  {option}", Text(_as_yaml(parameter.default)))
    heading = Text("Options (space.options of a job) and their defaults", style="bold")
    return Group(Text(f"{name}: {catalogue.SPACES[name].summary}", style="bold"), facts, heading, options)


def _as_yaml(value: Any) -> str:
    return json.dumps(value, default=str)


def _plain() -> Table:
    """Return an empty table of two columns without lines."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    return table
