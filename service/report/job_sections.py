"""Sections of the page on single jobs: the best network in detail, data, training, next commands."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.job.front_file import task_of
from service.job.outcomes_file import read_breakdown
from service.report.breakdown_html import numbers_html, sections_html
from service.report.curves import curves_html
from service.report.data_section import data_section
from service.report.fronts import Front
from service.report.fronts_text import value_text
from service.report.job_report import best_by_quality, cheapest
from service.report.looks_html import mistakes_html, picture
from service.report.markup import text
from service.report.next_steps import next_steps
from service.report.quantities import shown_of, test_axis
from supernets.tasks.outcomes import Breakdown

_HOW_DRAWN = (
    "From input to output: the wider a box, the more channels or numbers go in; places that this network leaves empty "
    "are dashed. Of cells, arrows lead from what is read to what is written, and dashed ones give nothing."
)
_MOST_OPEN = 9


def best_networks(fronts: Sequence[Front]) -> Iterator[str]:
    """Yield the best network of each front in detail: its picture, and what the jobs kept of its tests."""
    for front in fronts:
        best = best_by_quality(front.content)
        key, of = str(best["key"]), f" of {text(front.name)}" if len(fronts) > 1 else ""
        yield f"<h2>The best network{of}: <code>{text(key)}</code></h2>"
        yield from member_html(front.folder, front.content, best)


def member_html(folder: Path, front: Mapping[str, Any], member: Mapping[str, Any]) -> Iterator[str]:
    """Yield the picture of a network and what its job kept of its test.

    Args:
        folder: Folder of the job.
        front: Content of its `front.json` in the terms of this version.
        member: Member of the front.
    """
    task, key = task_of(front), str(member["key"])
    found, damage = Breakdown(), ""
    try:
        found = read_breakdown(folder, key)
    except ValueError as error:
        damage = f"<p class='mark'>{text(error)}</p>"
    yield from (damage, *numbers_html(found), f"<p class='quiet'>{_HOW_DRAWN}</p>")
    yield f"<div class='row'><section>{picture(folder, front, member)}</section>"
    yield from (*sections_html(found, task.metric.unit), "</div>", *mistakes_html(folder, key, task.examples))


def pictures(front: Front) -> Iterator[str]:
    """Yield the pictures of all networks of a front, cheapest first; those of many networks are folded away."""
    shown = shown_of(front.content)
    cards = []
    for member in sorted(front.members, key=lambda member: cheapest(member, shown)):
        numbers = ", ".join(value_text(member, axis) for axis in (shown.quality, *shown.searched[:1]))
        weights = f"<br><span class='quiet'>{text(member['weights'])}</span>" if member.get("weights") else ""
        head = f"<h3><code>{text(member['key'])}</code></h3><p>{text(numbers)}{weights}</p>"
        cards.append(f"<div class='card'>{head}{picture(front.folder, front.content, member)}</div>")
    yield f"<div class='row'>{''.join(cards[:_MOST_OPEN])}</div>"
    if more := cards[_MOST_OPEN:]:
        rest = f"<summary>Pictures of {len(more)} more networks</summary><div class='row'>{''.join(more)}</div>"
        yield f"<details>{rest}</details>"


def data_sections(fronts: Sequence[Front]) -> Iterator[str]:
    """Yield what the jobs say of their data; once where they say the same."""
    shown: dict[str, list[str]] = {}
    for front in fronts:
        if section := "".join(data_section(front.folder)):
            shown.setdefault(section, []).append(front.name)
    if shown:
        yield "<h2>The data</h2>"
    for section, names in shown.items():
        yield f"<h3>{text(', '.join(names))}</h3>" if len(shown) > 1 else ""
        yield section


def training(fronts: Sequence[Front]) -> Iterator[str]:
    """Yield the curves of the trainings."""
    metric = test_axis(fronts[0].task).label.removeprefix("test ")
    if drawn := curves_html({front.name: front.folder for front in fronts}, metric):
        yield "<h2>How training went</h2>"
        yield (
            "<p>One supernet was trained, and its networks share its weights. The loss is that of the networks which "
            "each step drew; where three networks were judged meanwhile, that shows on a part of the validation "
            "split.</p>"
        )
        yield drawn


def steps(fronts: Sequence[Front]) -> Iterator[str]:
    """Yield what to type next with the best network of a job; nothing for several, or for one that is not here."""
    if len(fronts) == 1 and fronts[0].is_here:
        yield from next_steps(Path(fronts[0].folder), str(best_by_quality(fronts[0].content)["key"]))
