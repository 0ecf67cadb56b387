"""What a task reads from the outcomes of a network, as sections of a page."""

from collections.abc import Iterator, Mapping

from service.report.markup import bars, capital, matrix, table, text
from service.report.quantities import form_of
from supernets.tasks.outcomes import Breakdown

_MOST_GROUPS = 40
_MOST_ROWS = 10
_FULL_PERCENT = 100.0


def breakdown_html(found: Breakdown, unit: str, *, heading: str = "h3") -> Iterator[str]:
    """Yield numbers, values by group, the matrix and the tables of a network; nothing where a task has none.

    Args:
        found: What the task reads.
        unit: Of the metric, which is that of values by group.
        heading: Element of the headings.
    """
    if found.numbers:
        numbers = (f"{form_of(name).noun} {value:.4g} {of}".strip() for name, (value, of) in found.numbers.items())
        yield f"<p>On the test split: {text(', '.join(numbers))}.</p>"
    parts = []
    for name, groups in found.groups.items():
        title = f"{form_of(name).noun} by {found.grouped_by}"
        parts.append((title, "".join(_groups(groups, unit))))
    if found.matrix is not None:
        said = (
            f"<p class='quiet'>Rows: the {text(found.grouped_by)} of the test examples. Columns: what the network said."
            "<br>Blue is right, orange is wrong, darker is more.</p>"
        )
        parts.append(("what was taken for what", said + matrix(found.matrix.labels, found.matrix.counts)))
    shown = {title for title, _ in parts}
    for title, one in found.tables.items():
        if title not in shown:  # bars show the same
            rows = [[_cell(value) for value in row] for row in one.rows]
            parts.append((title, table(one.columns, rows[:_MOST_ROWS])))
    if parts:
        sections = (f"<section><{heading}>{text(capital(title))}</{heading}>{part}</section>" for title, part in parts)
        yield f"<div class='row'>{''.join(sections)}</div>"


def _cell(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _groups(groups: Mapping[str, float], unit: str) -> Iterator[str]:
    values = dict(groups)
    full = _FULL_PERCENT if unit == "%" else max((abs(value) for value in values.values()), default=0.0)
    ranked = values if len(values) <= _MOST_GROUPS else dict(sorted(values.items(), key=lambda item: item[1]))
    shown = dict(list(ranked.items())[:_MOST_GROUPS])
    yield bars(shown, unit, full=full)
    if len(shown) < len(values):
        yield f"<p class='quiet'>The lowest {len(shown)} of {len(values)}.</p>"
