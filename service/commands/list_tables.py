"""The output of `nas list`: all names, and the facts of one search space."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search_spaces.origin import listed
from service import catalogue

if TYPE_CHECKING:
    from search_spaces import Space

_PLURALS = {
    "proxy": "proxies",
    "data": "data",
    "relaxation": "relaxations (train.relaxation.method)",
    "hypergradient": "hypergradients (train.relaxation.hypergradient)",
    "method": "methods (nas benchmark ranking)",
}
"""Headings of kinds that are more than the kind and an s."""


def everything() -> dict[str, dict[str, str]]:
    """Return kind -> name -> summary of all that can be named: recipes, the catalogue, settings that are methods."""
    from service.benchmarks.ranking_methods import METHODS as RANKING
    from supernets.training.relaxation_config import METHODS, MODES

    named = {"recipe": {name: catalogue.recipe_summary(path) for name, path in catalogue.recipes().items()}}
    named |= {name: {key: entry.summary for key, entry in table.items()} for name, table in catalogue.KINDS.items()}
    named["proxy"] |= {name: aggregate.summary for name, aggregate in catalogue.AGGREGATES.items()}
    named |= {"relaxation": dict(METHODS), "hypergradient": dict(MODES)}
    return {**named, "method": {name: method.summary for name, method in RANKING.items()}}


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
    """Return size, cost and options of a listed search space with its defaults.

    A space that needs to know a model first has options only.
    """
    parameters = catalogue.parameters("space", name, hidden=catalogue.GIVEN_TO_SPACES)
    needs_model = "model" in parameters and not parameters["model"].default
    facts = Text("  its sizes are those of its model: nas show timm:resnet18") if needs_model else _sizes(name)
    options = _plain()
    for option, parameter in parameters.items():
        options.add_row(f"  {option}", Text(_as_yaml(parameter.default)))
    heading = Text("Options (space.options of a job) and their defaults", style="bold")
    return Group(Text(f"{name}: {catalogue.SPACES[name].summary}", style="bold"), facts, heading, options)


def model_facts(name: str, model: str) -> Group:
    """Return what a space makes of a model: its decisions, its sizes, and what of it stays fixed and why."""
    given = {"call_own": catalogue.call_own}
    space: Space = catalogue.make("space", name, offered=given, options={"model": model})
    parts: list[Any] = [Text(f"{name}:{model}", style="bold"), _sizes_of(space)]
    if space.origin is not None:
        rows = _plain()
        for one in space.origin.elastic:
            rows.add_row(f"  {one.decision}", Text(f"{listed(one.choices)}: {one.what}"))
        fixed = _plain()
        for reason in space.origin.fixed:
            fixed.add_row(f"  {reason.count}", Text(reason.line()))
        parts += [Text("Decisions, their choices and what follows them", style="bold"), rows]
        parts += [Text("Sizes that stay fixed, and why", style="bold"), fixed]
    return Group(*parts)


def _sizes(name: str) -> Table:
    """Return the size of a listed space with its defaults."""
    return _sizes_of(catalogue.make("space", name))


def _sizes_of(space: "Space") -> Table:
    """Return the size of a space, and the ends of its costs."""
    facts = _plain()
    facts.add_row("  architectures", f"{space.count():,}")
    facts.add_row("  decisions", str(len(space.decisions)))
    facts.add_row("  input", ", ".join(" x ".join(map(str, one.shape)) or one.dtype for one in space.inputs))
    costs = space.costs([space.smallest(), space.largest()])
    for title, (low, high) in (("million MACs", costs["macs"] / 1e6), ("million weights", costs["params"] / 1e6)):
        facts.add_row(f"  {title}", f"{low:,.2f} to {high:,.2f}")
    return facts


def _as_yaml(value: Any) -> str:
    return json.dumps(value, default=str)


def _plain() -> Table:
    """Return an empty table of two columns without lines."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    return table
