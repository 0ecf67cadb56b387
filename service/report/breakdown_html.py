"""Outcomes of a network, read by its task, as sections of a page."""

from collections.abc import Iterator, Mapping

from service.report.markup import bars, capital, matrix, table, text
from service.report.quantities import form_of
from supernets.tasks.outcomes import Breakdown

_MOST_GROUPS = 40
_MOST_ROWS = 10
_WORD, _LONG = 40, 300  # characters of a cell that is no sentence, and of one that is not cut
_FULL_PERCENT = 100.0


def numbers_html(found: Breakdown) -> Iterator[str]:
    """Yield the numbers of a network as a sentence; nothing where a task has none."""
    if found.numbers:
        numbers = (f"{form_of(name).noun} {value:.4g} {of}".strip() for name, (value, of) in found.numbers.items())
        yield f"<p>On the test split: {text(', '.join(numbers))}.</p>"


def sections_html(found: Breakdown, unit: str) -> Iterator[str]:
    """Yield values by group, the matrix and the tables of a network; nothing where a task has none.

    Args:
        found: Breakdown that the task made.
        unit: Unit of the metric, which is that of values by group.
    """
    parts = []
    for name, groups in found.groups.items():
        title = f"{form_of(name).noun} by {found.grouped_by}"
        parts.append((title, "".join(_groups(groups, unit))))
    if found.matrix is not None:
        said = (
            f"<p class='quiet note'>Rows: the {text(found.grouped_by)} of the test examples. Columns: what the "
            "network said. Blue is right, orange is wrong, darker is more.</p>"
        )
        parts.append(("what was taken for what", said + matrix(found.matrix.labels, found.matrix.counts)))
    shown = {title for title, _ in parts}
    for title, one in found.tables.items():
        if title not in shown:  # bars show the same
            rows = [[_cell(value) for value in row] for row in one.rows[:_MOST_ROWS]]
            prose = any(len(cell) > _WORD for row in rows for cell in row)
            parts.append((title, table(one.columns, rows, prose=prose)))
    for title, part in parts:
        yield f"<section><h3>{text(capital(title))}</h3>{part}</section>"


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    cell = str(value)  # tables hold whole numbers, too
    return cell if len(cell) <= _LONG else f"{cell[:_LONG]}…"


def _groups(groups: Mapping[str, float], unit: str) -> Iterator[str]:
    values = dict(groups)
    full = _FULL_PERCENT if unit == "%" else max((abs(value) for value in values.values()), default=0.0)
    ranked = values if len(values) <= _MOST_GROUPS else dict(sorted(values.items(), key=lambda item: item[1]))
    shown = dict(list(ranked.items())[:_MOST_GROUPS])
    yield bars(shown, unit, full=full)
    if len(shown) < len(values):
        yield f"<p class='quiet'>The lowest {len(shown)} of {len(values)}.</p>"
