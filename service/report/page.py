"""One page about one search or several, for people who never saw neural architecture search before.

It is one file that works offline: style and drawing code are in it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from nas.benchmarks.front_comparison import FrontComparison, best_within, round_budgets
from nas.intervals import interval_of_share
from service.job.certainty_keys import ORIGINAL, SHARES, TEST
from service.job.folder import candidates, finite, read_json
from service.report.differences import how_compared
from service.report.fronts import Front, Terms
from service.report.fronts_figure import Axes, figure_of, pictures_of
from service.report.fronts_text import (
    condition_lines,
    lettered,
    letters_lines,
    searched_sentences,
    tested_text,
    value_text,
    verdict,
)
from service.report.job_sections import best_networks, data_sections, pictures, steps, training
from service.report.markup import capital, listed, page_of, table, text
from service.report.quantities import Axis, form_of, predicted_axis, quality_axis
from service.report.text import other_runtime_line
from service.report.ticket_section import ticket_sections

_SUBTITLE = "Neural architecture search: which network for which budget"
_HOW_SEARCHED = """<p>A neural network can be built in many ways: more or fewer layers, wider or narrower ones,
other operations in them. A <b>search space</b> lists the decisions and what is allowed for each. To train every
network of it would take years; instead one <b>supernet</b> is trained that holds them all, and each candidate takes
its part of the weights. A <b>searcher</b> then proposes candidates, learns from how they do, and proposes better
ones.</p>"""
_HOW_JUDGED = """<b>{validation}</b> was computed on {examples} that were kept apart from training. The search chose by
it, so the chosen ones look a little better in it than they are.</li><li><b>{test}</b> is the same on {examples} that
neither training nor search has seen; it was read once, at the end. It is what to expect in use, as far as the
{examples} there are alike."""
_HOW_MEASURED = "<b>{noun}</b> was measured, not estimated; intervals are those of 95 %."
_WHERE_MEASURED = " It holds for this\nmachine and these conditions only:<ul>"
_WORDS = """<h2>Words</h2><dl>
<dt>architecture</dt><dd>What a network is built of: the outcome of every decision of the search space.</dd>
<dt>front (Pareto front)</dt><dd>The networks that no other found one beats: whatever is better in one respect costs
something in another.</dd>
<dt>supernet</dt><dd>One large network that contains every architecture of the space; its parts share weights.</dd>
<dt>hypervolume</dt><dd>One number for a whole front: how much of the desirable region it reaches.</dd>
<dt>interval</dt><dd>Where the true value lies in 95 of 100 cases, [low, high]; ± where both ends are equally far.</dd>
<dt>letters behind numbers</dt><dd>Networks that share a letter may be equal in that column: what was measured does not
tell them apart. Networks that share none differ. All pairs of a column are compared at once, so that only one column in
20 has a difference that is none (tests of McNemar or Student on the same examples, corrected by Holm's method).</dd>
</dl>"""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The content of the page.

    Attributes:
        fronts: At least one.
        terms: Terms by which they are compared.
        axes: Axes of the figure.
        comparison: Result of the comparison.
        budgets: Budgets of the first cost; empty for round ones.
    """

    fronts: Sequence[Front]
    terms: Terms
    axes: Axes
    comparison: FrontComparison
    budgets: Sequence[float] = ()

    @property
    def quality(self) -> tuple[str, bool]:
        return self.axes.quality.name, self.axes.maximise

    @property
    def cost(self) -> Axis | None:
        return self.axes.costs[0] if self.axes.costs else None

    def budgets_of(self, cost: Axis) -> list[float]:
        members = {front.name: front.members for front in self.fronts}
        return list(self.budgets) or round_budgets(members, cost.name)


def page(findings: Findings) -> str:
    """Return the whole page as HTML."""
    names = [front.name for front in findings.fronts]
    title = listed(names)
    parts = [
        f"<h1>{text(title)}</h1>",
        f"<p class='quiet'>{_SUBTITLE}</p>",
    ]
    parts += _lead(findings)
    parts += [f"<p class='mark'>Take care when comparing: {text(mark)}.</p>" for mark in findings.terms.marks]
    fronts = findings.fronts
    parts += [*_choice(findings), *_figure(findings), *_compared(findings), *best_networks(fronts)]
    parts += [*ticket_sections(fronts), *steps(fronts)]
    parts += [*data_sections(fronts), *_searched(findings), *training(fronts), *_measured(findings)]
    parts += [*_networks(findings), _WORDS]
    return page_of(f"{title}: networks found", parts)


# ---- the sections ---------------------------------------------------------------------------------------------------


def _lead(findings: Findings) -> Iterable[str]:
    name, maximise = findings.quality
    everyone = [(front, member) for front in findings.fronts for member in front.members]
    everyone = [pair for pair in everyone if finite(pair[1]["values"].get(name)) is not None]
    front, best = (max if maximise else min)(everyone, key=lambda pair: pair[1]["values"][name])
    sentences = [f"The best network by {findings.axes.quality.noun} is <code>{text(best['key'])}</code>"]
    sentences[0] += f" of {text(front.name)}: {text(_numbers(findings, front, best))}."
    if cost := findings.cost:
        front, cheap = min(everyone, key=lambda pair: _known(pair[1], cost.name))
        sentences.append(f"The cheapest by {cost.noun} is <code>{text(cheap['key'])}</code>")
        sentences[1] += f" of {text(front.name)}: {text(_numbers(findings, front, cheap))}."
        sentences.append("Between the two lies a choice; the table below says what each budget buys.")
    for front in findings.fronts:
        if original := front.content.get(ORIGINAL):
            of = f" of {text(front.name)}" if len(findings.fronts) > 1 else ""
            named = f" {text(original['model'])}" if "model" in original else ""
            trained = f"trained whole on the same {text(front.task.examples)} before the search"
            whole = f"The original network{named}{of}, {trained}"
            sentences.append(f"{whole}: {text(_numbers(findings, front, original))}.")
    yield f"<p class='lead'>{' '.join(sentences)}</p>"
    if len(findings.fronts) > 1:
        yield f"<p class='lead'>{text(verdict(findings.comparison))}</p>"


def _numbers(findings: Findings, front: Front, member: Mapping[str, Any]) -> str:
    shown = [value_text(member, axis) for axis in (findings.axes.quality, *findings.axes.costs[:1])]
    tested = tested_text(front, member)
    return ", ".join([*shown, *([_never_seen(front, tested)] if tested != "-" else [])])


def _never_seen(front: Front, tested: str) -> str:
    """Return the value of a network on the test split; a percentage needs no name."""
    metric = front.task.metric
    unit = metric.unit or form_of(metric.name).noun
    return f"{tested} {unit} on {front.task.examples} never seen before"


def _choice(findings: Findings) -> Iterable[str]:
    yield "<h2>Which network to take</h2>"
    cost = findings.cost
    if cost is None:
        yield "<p>Nothing was traded off: take the best network above.</p>"
        return
    yield (
        f"<p>Find the line whose budget, the largest {cost.noun} that you can afford, is the last one within "
        "reach. The network named there is the best that was found for it. A network keeps a budget if the upper end "
        "of its interval does, as with a limit of the search.</p>"
    )
    several = len(findings.fronts) > 1
    header = [f"{cost.label} at most", *(["search"] if several else []), "network"]
    header += [
        findings.axes.quality.label,
        findings.axes.test.label,
        *(axis.label for axis in findings.axes.costs),
    ]
    rows = [row for budget in findings.budgets_of(cost) if (row := _budget_row(findings, cost, budget, several))]
    if not findings.budgets:  # round budgets that buy nothing new are left out
        rows = [row for before, row in pairwise([[""], *rows]) if row[1:] != before[1:]]
    yield table(header, rows)


def _budget_row(findings: Findings, cost: Axis, budget: float, several: bool) -> list[str] | None:
    """Return the best of all fronts for one budget."""
    name, maximise = findings.quality
    found = [(f, m) for f in findings.fronts if (m := best_within(f.members, findings.quality, cost.name, budget))]
    if not found:
        return None
    sign = -1 if maximise else 1
    front, member = min(found, key=lambda pair: (sign * pair[1]["values"][name], pair[1]["values"][cost.name]))
    numbers = [value_text(member, axis, bare=True) for axis in (findings.axes.quality, *findings.axes.costs)]
    row = [f"{cost.of(budget):g}", *([front.name] if several else []), str(member["key"])]
    return [*row, numbers[0], tested_text(front, member), *numbers[1:]]


def _figure(findings: Findings) -> Iterable[str]:
    yield "<h2>The figure</h2>"
    better = "higher" if findings.axes.maximise else "lower"
    yield (
        "<p>Every dot is a network that was tried; the large ones are the <b>front</b>. Further left is cheaper, "
        f"{better} is better. A network is on the front if no other one found is better in one respect without being "
        "worse in another, so everything worth having lies on the line, and what lies behind it can be had cheaper or "
        "better. Bars are 95 % intervals. Point at a dot to see what it is; the list above "
        "the figure changes the horizontal axis.</p>"
    )
    if limits := findings.axes.limits:
        shown = ", ".join(limit.text for limit in limits)
        yield f"<p>Dashed: the limits of the search ({text(shown)}), where they are near enough.</p>"
    figure = figure_of(pictures_of(findings.fronts, findings.axes), findings.axes)
    config = {"displaylogo": False, "responsive": True}
    yield figure.to_html(include_plotlyjs=True, full_html=False, config=config, div_id="fronts")


def _compared(findings: Findings) -> Iterable[str]:
    found, names = findings.comparison, [front.name for front in findings.fronts]
    if len(names) < 2:
        return
    yield "<h2>The searches compared</h2>"
    corner = ", ".join(f"{name} {value:.4g}" for name, value in found.reference.items())
    ideal = ", ".join(f"{name} {value:.4g}" for name, value in found.ideal.items())
    yield (
        "<p><b>Hypervolume</b> says how far a front reaches as a whole: the share of the box between the worst values "
        f"that count ({text(corner)}) and the best ones found ({text(ideal)}) in which the front has something "
        "better to offer. The box is the same for all.</p>"
    )
    rows = [[name, str(found.members[name]), f"{100 * found.hypervolume[name]:.1f} %"] for name in names]
    yield table(["search", "networks on the front", "hypervolume"], rows)
    yield (
        "<p><b>Who beats whom</b>: the share of the networks in the column that some network in the line equals or "
        "beats in every respect. In brackets: the share that is surely beaten, beyond the "
        f"measuring errors of both; {text(how_compared(findings.fronts))}, and all pairs together.</p>"
    )
    lines = [[a, *("" if a == b else _covered(found, a, b) for b in names)] for a in names]
    yield table(["", *names], lines)
    if cost := findings.cost:
        yield f"<p>The best {findings.axes.quality.noun} that each search has for a budget:</p>"
        best = [
            [f"{cost.of(b):g}", *(_best(findings, f, cost, b) for f in findings.fronts)]
            for b in findings.budgets_of(cost)
        ]
        yield table([f"{cost.label} at most", *names], best)


def _covered(found: FrontComparison, a: str, b: str) -> str:
    covered = found.coverage[a, b]
    return f"{100 * covered.share:.0f} % ({100 * covered.beyond_error:.0f} %)"


def _best(findings: Findings, front: Front, cost: Axis, budget: float) -> str:
    member = best_within(front.members, findings.quality, cost.name, budget)
    return "-" if member is None else value_text(member, findings.axes.quality, bare=True)


def _searched(findings: Findings) -> Iterable[str]:
    yield "<h2>What was searched</h2>"
    yield _HOW_SEARCHED
    for front in findings.fronts:
        result = read_json(front.folder / "result.json") or {}
        tried = candidates(front.folder)
        yield f"<p><b>{text(front.name)}</b>: {text(' '.join(searched_sentences(front, result, tried)))}</p>"


def _measured(findings: Findings) -> Iterable[str]:
    yield "<h2>How it was measured</h2><ul>"
    yield from _judged(findings)
    yield from _measured_costs(findings)
    yield from _computed_costs(findings)
    yield "</ul>"


def _judged(findings: Findings) -> Iterable[str]:
    """Yield what the quality is, and how certain it is."""
    axes, task = findings.axes, findings.fronts[0].task
    form = form_of(task.metric.name)
    names = {"validation": capital(quality_axis(task.metric, task).noun), "test": capital(axes.test.noun)}
    yield f"<li>{form.meaning or _HOW_JUDGED.format(**_escaped(names | {'examples': task.examples}))}"
    for front in findings.fronts:
        if front.task.metric.name in SHARES and front.tested:
            low, high = interval_of_share(50.0, front.tested)
            yield f" With {front.tested:,} test {text(task.examples)} ({text(front.name)}) it is sure to"
            yield f" ±{(high - low) / 2:.1f} points or better."
    yield "</li>"


def _measured_costs(findings: Findings) -> Iterable[str]:
    """Yield what was measured, and under which conditions."""
    if not any(front.conditions for front in findings.fronts):
        return
    quantities = {q.name: q for front in findings.fronts for q in front.quantities if q.is_measured_cost}
    for name in quantities:
        form = form_of(name)
        yield f"<li>{form.meaning or _HOW_MEASURED.format(noun=text(capital(form.noun)))}"
        yield _WHERE_MEASURED
        for line in condition_lines(findings.fronts):
            yield f"<li>{text(line)}</li>"
        lines = (other_runtime_line(front.conditions) for front in findings.fronts)
        yield from (f"<li>{text(line)}</li>" for line in dict.fromkeys(line for line in lines if line))
        yield "</ul></li>"


def _computed_costs(findings: Findings) -> Iterable[str]:
    """Yield the costs that follow from the architecture alone."""
    computed = {q.name for front in findings.fronts for q in front.quantities if q.source == "computed"}
    forms = [form_of(axis.name) for axis in reversed(findings.axes.costs) if axis.name in computed]
    if forms:
        nouns = listed([form.noun for form in forms])
        meaning = "".join(f" ({form.meaning})" for form in forms if form.meaning)
        yield f"<li><b>{text(capital(nouns))}</b>{meaning} are counted, exactly.</li>"


def _escaped(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text(one) for name, one in texts.items()}


def _networks(findings: Findings) -> Iterable[str]:
    yield "<h2>All networks of the front</h2>"
    for front in findings.fronts:
        yield f"<h3>{text(front.name)}</h3>"
        first = findings.cost.name if findings.cost else findings.quality[0]
        costs, rows = _with_predictions(findings.axes, front), []
        for member in sorted(front.members, key=lambda m: _known(m, first)):
            numbers = [
                lettered(value_text(member, axis, bare=True), member, axis.name)
                for axis in (findings.axes.quality, *costs)
            ]
            tested = lettered(tested_text(front, member), member, TEST)
            rows.append([str(member["key"]), numbers[0], tested, *numbers[1:]])
        yield table(_header(findings.axes, costs), rows)
        yield "".join(f"<p>{text(line)}</p>" for line in letters_lines(front.content, front.task.examples))
        yield from pictures(front)


def _with_predictions(axes: Axes, front: Front) -> list[Axis]:
    """Return the costs, each followed by its prediction in the search, if any."""
    known = {name for member in front.members for name in member["values"]}
    shown = []
    for cost in axes.costs:
        shown.append(cost)
        if (predicted := predicted_axis(cost)).name in known:
            shown.append(predicted)
    return shown


def _header(axes: Axes, costs: Sequence[Axis]) -> list[str]:
    """Return the headings of a table of networks."""
    return ["network", axes.quality.label, axes.test.label, *(axis.label for axis in costs)]


def _known(member: Mapping[str, Any], name: str) -> float:
    value = finite(member["values"].get(name))
    return math.inf if value is None else value
