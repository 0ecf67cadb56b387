"""The output of `nas compare`: fronts side by side, their coverage, and the best within budgets."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from nas.benchmarks.front_comparison import best_within
from service.job.certainty_keys import TEST
from service.report.differences import how_compared
from service.report.fronts import measured_costs
from service.report.fronts_text import condition_lines, value_text, verdict
from service.report.page import Findings
from service.report.quantities import form_of
from service.report.terminal import numbers_table


def parts(findings: Findings) -> Iterator[Any]:
    """Yield tables and lines in the order in which they are read."""
    yield _summary(findings)
    found = findings.comparison
    corner = ", ".join(f"{name} {value:.4g}" for name, value in found.reference.items())
    ideal = ", ".join(f"{name} {value:.4g}" for name, value in found.ideal.items())
    yield f"hypervolume: share of the box from {corner} (reference) to {ideal}"
    for name, count in found.outside.items():
        if count:
            yield f"{name}: {count} of {found.members[name]} members lie beyond the reference and count for nothing"
    yield _coverage(findings)
    yield f"in brackets: surely better, beyond the measuring errors; {how_compared(findings.fronts)}"
    yield verdict(found)
    yield from _attainable(findings)
    if measured := measured_costs(findings.fronts, findings.terms.directions):
        nouns = ", ".join(form_of(name).noun for name in measured)
        yield from (f"{nouns}: {line}" for line in condition_lines(findings.fronts))
    yield from (f"take care: {mark}" for mark in findings.terms.marks)


def _summary(findings: Findings) -> Table:
    axes = findings.axes
    shown = (axes.quality, *axes.costs)
    table = numbers_table("Fronts", "search", "members", *(f"{axis.label}" for axis in shown), "hypervolume")
    for front in findings.fronts:
        ranges = []
        for axis in shown:
            values = [v for member in front.members if (v := axis.of(member["values"].get(axis.name))) is not None]
            ranges.append(f"{min(values):.4g} to {max(values):.4g}" if values else "-")
        share = f"{100 * findings.comparison.hypervolume[front.name]:.1f} %"
        table.add_row(front.name, str(len(front.members)), *ranges, share)
    return table


def _coverage(findings: Findings) -> Table:
    """Return a table of coverage, of columns by lines; brackets hold what is surely better."""
    names = [front.name for front in findings.fronts]
    table = numbers_table("Share that the line equals or beats", "search", *names)
    for ours in names:
        cells = []
        for theirs in names:
            found = findings.comparison.coverage.get((ours, theirs))
            cells.append("" if found is None else f"{100 * found.share:.0f} % ({100 * found.beyond_error:.0f} %)")
        table.add_row(ours, *cells)
    return table


def _attainable(findings: Findings) -> Iterator[Table]:
    cost = findings.cost
    if cost is None:
        return
    title = f"Best {findings.axes.quality.noun} within a budget ({findings.axes.test.noun})"
    table = numbers_table(title, f"{cost.label} at most", *(front.name for front in findings.fronts))
    for budget in findings.budgets_of(cost):
        cells = []
        for front in findings.fronts:
            member = best_within(front.members, findings.quality, cost.name, budget)
            cells.append("-" if member is None else value_text(member, findings.axes.quality, bare=True))
            if member is not None and (tested := findings.axes.test.cell(member.get(TEST))) != "-":
                cells[-1] += f" ({tested}) {member['key']}"
        table.add_row(f"{cost.of(budget):g}", *cells)
    yield table
