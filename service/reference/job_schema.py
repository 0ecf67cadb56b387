"""Job files as JSON Schema, for editors: completion, descriptions, and marks on unknown fields."""

from typing import Any

from pydantic import TypeAdapter

from service.job.job import Job
from service.job.validation import section
from service.reference.docstrings import parsed
from service.reference.job_fields import about, job_fields, listed_names


def job_schema() -> dict[str, Any]:
    """Return the schema of a job file; descriptions come from the docstrings, ranges are checked by `nas` alone."""
    schema = TypeAdapter(Job).json_schema()
    _describe(schema, Job)
    classes = {one.inside.__name__: one.inside for one in job_fields().values() if one.inside is not None}
    for name, cls in classes.items():
        _describe(schema["$defs"][name], cls)
    for path in job_fields():
        if names := listed_names(path):
            _with_examples(_place(schema, path), names)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Job of Espalier"}


def _describe(content: dict[str, Any], cls: type) -> None:
    """Put what the docstring says at its place; names in another writing say nothing."""
    words = about(cls)
    content["description"] = parsed(cls.__doc__).summary
    content.pop("title", None)
    for name, inside in content["properties"].items():
        inside.pop("title", None)
        if name in words.arguments:
            inside["description"] = words.arguments[name]


def _place(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the part of a schema that is about a field."""
    *above, last = path.split(".")
    content, cls = schema, Job
    for name in above:
        inside = section(_type(cls, name))
        assert inside is not None
        content, cls = schema["$defs"][inside.__name__], inside  # type: ignore[assignment]
    return content["properties"][last]


def _type(cls: type, name: str) -> Any:
    from service.job.validation import field_types

    return field_types(cls)[name]


def _with_examples(content: dict[str, Any], names: list[str]) -> None:
    """Offer names for completion; any other text stays allowed, because the user's own code may be named."""
    (content["items"] if content.get("type") == "array" else content)["examples"] = names
