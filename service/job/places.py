"""Files and folders that a job names: they are found from any current folder, and after the job was moved with them.

A relative path in a job file starts at the folder of that file or, if nothing is there, at the current folder, as on
the command line. `~` and `$NAME` mean the same as in a shell.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FIELDS = (
    *(("data", "path"), ("data", "test_path"), ("latency", "table"), ("search", "warm_start")),
    *(("data", "options", "target_path"), ("data", "options", "test_target_path"), ("data", "options", "edges")),
    *(("train", "teacher"), ("train", "teacher_checkpoint"), ("train", "tickets", "start")),
    *(("space", "options", "checkpoint"), ("space", "precision", "start"), ("latency", "published", "table")),
)
_OR_A_NAME = {("train", "teacher")}
"""Fields that hold a path or a name: a path has a slash."""
BESIDE = "places"
"""In a `job.json`: dotted field -> path from the job folder."""


def placed(fields: Mapping[str, Any], base: Path, moved: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the fields of a job with whole paths.

    Args:
        fields: Fields as written.
        base: The folder that relative paths start from.
        moved: Dotted field -> path from `base`, for files that are no longer at the whole path.
    """
    found = dict(fields)
    for field in _fields(fields):
        written = _written(found, field)
        if written is None:
            continue
        path = _whole(written, base)
        beside = (moved or {}).get(".".join(field))
        if isinstance(beside, str) and not os.path.exists(path) and (base / beside).exists():
            path = os.path.abspath(base / beside)
        found = _replaced(found, field, path)
    return found


def beside(fields: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the paths of a job as they are seen from its folder, by dotted field."""
    found = {}
    for field in _fields(fields):
        written = _written(fields, field)
        if written is not None and os.path.isabs(written):
            found[".".join(field)] = os.path.relpath(written, folder.resolve())
    return found


def mistakes(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each path with a variable that is not set, or a user that does not exist."""
    for field in _fields(fields):
        written = _written(fields, field)
        if written is None or os.path.exists(written):
            continue
        if variable := re.search(r"\$(\w+|\{[^}]*\})", written):
            yield f"{'.'.join(field)}: {written}: the environment variable {variable[1].strip('{}')} is not set"


def _fields(fields: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield where paths stand in a job: in fixed fields, and under names that the job has chosen."""
    yield from FIELDS
    section: Any = fields.get("search")
    named = section.get("parts") if isinstance(section, Mapping) else None
    yield from (("search", "parts", str(name)) for name in named or () if isinstance(named, Mapping))


def _written(fields: Mapping[str, Any], field: Sequence[str]) -> str | None:
    """Return what is written in a field, if it is text at all."""
    written: Any = fields
    for name in field:
        written = written.get(name) if isinstance(written, Mapping) else None
    if tuple(field) in _OR_A_NAME and "/" not in str(written):
        return None
    return written if isinstance(written, str) and written and "://" not in written else None


def _replaced(fields: Mapping[str, Any], field: Sequence[str], path: str) -> dict[str, Any]:
    """Return a copy of the fields of a job in which one that is there is another path."""
    first, *rest = field
    return {**fields, first: _replaced(fields[first], rest, path) if rest else path}


def _whole(written: str, base: Path) -> str:
    """Return the whole path, or what is written where nothing is found."""
    for text in (written, os.path.expandvars(os.path.expanduser(written))):
        for root in (base, Path()):
            if os.path.exists(root / text):
                return os.path.abspath(root / text)
    return text
