"""The reference of all fields as Markdown, for the guide."""

from collections.abc import Iterator

from service.job.job import Job
from service.reference.job_fields import JobField, about, job_fields, listed_names


def field_reference() -> str:
    """Return every field of a job as Markdown, one table for each section."""
    found = list(job_fields().values())
    top = [one for one in found if one.inside is None and "." not in one.path]
    parts = ["# Fields of a job", "", about(Job).summary, "", *_table(top, "")]
    for one in found:
        if one.inside is not None:
            inside = [field for field in found if field.path.startswith(f"{one.path}.") and field.inside is None]
            direct = [field for field in inside if "." not in field.path.removeprefix(f"{one.path}.")]
            parts += ["", f"## `{one.path}`", "", about(one.inside).text, "", *_table(direct, f"{one.path}.")]
    return "\n".join(parts) + "\n"


def _table(found: list[JobField], above: str) -> Iterator[str]:
    yield "| field | value | default | what it is |"
    yield "|---|---|---|---|"
    for one in found:
        default = "must be given" if one.default is None else f"`{one.default}`"
        names = listed_names(one.path)
        listed = f" Listed: {', '.join(f'`{name}`' for name in names)}." if names else ""
        cells = (f"`{one.path.removeprefix(above)}`", one.allowed, default, one.about + listed)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
