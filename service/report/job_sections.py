"""Sections of the page that are of single jobs: the best network in detail, data, training, what to type next."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from service.job.outcomes_file import read_breakdown
from service.report.breakdown_html import breakdown_html
from service.report.curves import curves_html
from service.report.data_section import data_section
from service.report.fronts import Front
from service.report.job_report import best_by_quality
from service.report.markup import text
from service.report.next_steps import next_steps
from service.report.quantities import test_axis


def best_networks(fronts: Sequence[Front]) -> Iterator[str]:
    """Yield the best network of each front in detail, where the jobs kept more of it than numbers."""
    for front in fronts:
        key = str(best_by_quality(front.content)["key"])
        shown = list(_details(front, key))
        if shown:
            of = f" of {text(front.name)}" if len(fronts) > 1 else ""
            yield f"<h2>The best network{of}: <code>{text(key)}</code></h2>"
            yield from shown


def _details(front: Front, key: str) -> Iterator[str]:
    try:
        found = read_breakdown(front.folder, key)
    except ValueError as error:
        yield f"<p class='mark'>{text(error)}</p>"
        return
    yield from breakdown_html(found, front.task.metric.unit)


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
