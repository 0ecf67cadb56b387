"""Outcomes of a network, read by its task, as lines for the terminal."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from service.job.outcomes_file import read_breakdown
from service.report.quantities import form_of

_ALL_SHOWN = 12
_LOWEST_SHOWN = 5


def breakdown_lines(folder: Path, key: str) -> Iterator[str]:
    """Yield the numbers and the values by group of a member on the test split; nothing where a job has none.

    Args:
        folder: Folder of the job.
        key: Key of the member.
    """
    try:
        found = read_breakdown(folder, key)
    except ValueError as error:
        yield str(error)
        return
    if found.numbers:
        numbers = (f"{form_of(name).noun} {value:.4g} {unit}".strip() for name, (value, unit) in found.numbers.items())
        yield f"{key} on test: {', '.join(numbers)}"
    for name, groups in found.groups.items():
        yield f"{form_of(name).noun} by {found.grouped_by}: {_groups(groups)}"


def _groups(values: Mapping[str, float]) -> str:
    """Return the values of all groups where they are few, else the lowest and the highest."""
    if len(values) <= _ALL_SHOWN:
        return ", ".join(f"{group} {value:.3g}" for group, value in values.items())
    ranked = sorted(values.items(), key=lambda item: item[1])
    lowest = ", ".join(f"{group} {value:.3g}" for group, value in ranked[:_LOWEST_SHOWN])
    return f"lowest {lowest}; highest {ranked[-1][0]} {ranked[-1][1]:.3g}; of {len(values)}"
