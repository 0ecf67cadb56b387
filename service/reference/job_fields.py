"""Every field of a job: its path, its allowed values, its default and its meaning."""

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, NamedTuple

from service import catalogue
from service.job.job import Job
from service.job.validation import describe, field_types, section
from service.reference.docstrings import Docstring, parsed

NAMES = {
    "data.source": "data",
    "task.name": "task",
    "space.name": "space",
    "train.sampler": "sampler",
    "search.searcher": "searcher",
    "search.objectives": "objective",
    "proxies.names": "proxy",
    "latency.backend": "backend",
    "latency.server.backend": "backend",
    "latency.analytic.device": "device",
}
"""Field -> the kind of the catalogue whose names it takes."""


class JobField(NamedTuple):
    """One field.

    Attributes:
        path: Dotted path, such as `data.image_size`.
        allowed: Allowed values in words.
        default: Default as YAML writes it; None where it has to be given.
        about: Meaning of the field.
        inside: The dataclass of a section; None for a field that is not a section.
    """

    path: str
    allowed: str
    default: str | None
    about: str
    inside: type | None

    @property
    def summary(self) -> str:
        """The first sentence of what it means."""
        return self.about.partition("; ")[0].partition(". ")[0].rstrip(".") + "."


@cache
def job_fields() -> dict[str, JobField]:
    """Return every field and section of a job by its path, in the order of a job file."""
    return {one.path: one for one in _fields(Job, "")}


def about(cls: type) -> Docstring:
    """Return what a dataclass says of itself, and of its fields, those that it inherits included."""
    own = parsed(cls.__doc__)
    arguments: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        arguments |= parsed(base.__dict__.get("__doc__")).arguments
    return Docstring(own.text, arguments)


def listed_names(path: str) -> list[str]:
    """Return the names that a field takes beside `package.module:object`; none where it takes no names."""
    kind = NAMES.get(path)
    return list(catalogue.KINDS[kind]) if kind else []


def _fields(cls: type, above: str) -> Iterator[JobField]:
    words, types = about(cls), field_types(cls)
    for item in fields(cls):
        path, hint = f"{above}{item.name}", types[item.name]
        inside = section(hint)
        default = _default(item, inside)
        kind = "a section" if inside is not None else describe(hint)
        yield JobField(path, kind, default, words.arguments.get(item.name, ""), inside)
        if inside is not None:
            yield from _fields(inside, f"{path}.")


def _default(item: Any, inside: type | None) -> str | None:
    """Return the default of a field as YAML writes it."""
    if item.default is not MISSING:
        return json.dumps(item.default) if not isinstance(item.default, str) else item.default
    if item.default_factory is MISSING:
        return None
    return "" if inside is not None else json.dumps(item.default_factory())
