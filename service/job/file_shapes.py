"""The shapes of the files in a job folder: everything that is read from one is checked before it is used.

A job folder may be damaged, and it may come from someone else: names that paths are made of stay inside the folder.
"""

import re
from datetime import datetime
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError


def _key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", text):
        raise ValueError(f"must be letters, digits, - and _, got {text!r}")
    return text


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or "\0" in text:
        raise ValueError(f"must be a path inside the job folder, got {text!r}")
    return text


def _date(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Number = float | None
Ends = Annotated[list[Number], Field(min_length=2, max_length=2)]
Spread = Annotated[list[Number], Field(min_length=3, max_length=3)]
Facts = dict[str, JsonValue]
Key = Annotated[str, AfterValidator(_key)]


class _Shape(BaseModel):
    """An object with some known entries; it may have others, too."""

    model_config = ConfigDict(strict=True, frozen=True)


class _Metric(_Shape):
    name: str
    unit: str | None = None
    maximise: bool | None = None


class _Task(_Shape):
    name: str | None = None
    metric: _Metric
    examples: str | None = None


class _Objective(_Metric):
    role: str | None = None
    source: str | None = None
    optimised: bool | None = None
    bound: Ends | None = None


class _Measured(_Shape):
    architecture: dict[str, bool | int | float | str | None]
    values: dict[str, Number]
    intervals: dict[str, Ends | None] | None = None


class _Evaluation(_Measured):
    index: int
    status: str
    seconds: Number = None
    reason: str | None = None


class _Header(_Shape):
    objectives: list[_Objective]


class _Member(_Measured):
    key: Key
    weights: Annotated[str, AfterValidator(_inside)] | None = None
    test_quality: Number = None


class _Front(_Shape):
    members: list[_Member]
    dropped: list[_Member] | None = None
    original: _Member | None = None
    objectives: list[_Objective] | None = None
    task: _Task | None = None
    latency: Facts | None = None
    space: Facts | None = None
    decisions: list[str] | None = None
    examples: dict[str, int] | None = None
    images: dict[str, int] | None = None


class _Result(_Shape):
    status: str | None = None
    reason: str | None = None
    seconds: Number = None
    stages: dict[str, Number] | None = None
    environment: Facts | None = None
    peak_memory_mb: Number = None
    front_size: int | None = None
    test_quality: Number = None
    hypervolume: Number = None


class _Job(_Shape):
    job: Facts
    id: str | None = None
    created: Annotated[str, AfterValidator(_date)] | None = None
    environment: Facts | None = None
    espalier: str | None = None


class _Volume(_Shape):
    curve: list[Ends]


class _Agreement(_Shape):
    architectures: int
    spearman: Spread
    kendall: Spread


class _Retrained(_Shape):
    key: Key
    epochs: float | None = None
    costs: dict[str, Number] | None = None
    curve: list[Ends] | None = None
    inherited_quality: Number = None
    retrained_quality: Number = None
    inherited_test_quality: Number = None
    retrained_test_quality: Number = None


class _Event(_Shape):
    event: str
    time: float


class _Memory(_Shape):
    uri: str | None = None
    run_id: str | None = None
    offset: int | None = None
    steps: dict[str, int] | None = None


class _Milliseconds(_Shape):
    ms: Annotated[float, Field(gt=0, lt=1e9)]
    low: Annotated[float, Field(ge=0, lt=1e9)] | None
    high: Annotated[float, Field(ge=0, lt=1e9)] | None


Count = Annotated[int, Field(ge=0, lt=2**60)]


class _Block(_Milliseconds):
    key: str
    params: Count
    layers: list[Annotated[list[Count], Field(min_length=3, max_length=3)]]


class _Network(_Milliseconds):
    architecture: dict[str, bool | int | float | str | None]
    part: Literal["fit", "held_out"]


class _TableSpace(_Shape):
    name: str
    options: Facts
    digest: str


class _Table(_Shape):
    space: _TableSpace
    conditions: Facts
    blocks: list[_Block]
    networks: list[_Network]
    seconds: float


class _Governed(_Shape):
    decision: str
    what: str
    choices: list[bool | int | float | str]


class _Fixed(_Shape):
    reason: str
    count: int
    examples: list[str]


class _Origin(_Shape):
    model: str
    params: int
    macs: int
    elastic: list[_Governed]
    fixed: list[_Fixed]


_SHAPES: dict[str, Any] = {
    "job.json": _Job,
    "front.json": _Front,
    "result.json": _Result,
    "task.json": _Task,
    "space.json": _Origin,
    "hypervolume.json": _Volume,
    "proxies.json": dict[str, _Agreement],
    "tracking.json": _Memory,
    "retrained": _Retrained,
    "evaluation": _Evaluation,
    "header": _Header,
    "event": _Event,
    "latency table": _Table,
}


def mistake_in(kind: str, content: Any) -> str | None:
    """Return the mistake in the content of a kind of file; None where there is none.

    Args:
        kind: Name of the file, or the kind of its lines.
        content: Content as parsed from JSON.
    """
    if not isinstance(content, dict):
        return "it holds no object in braces"
    if kind not in _SHAPES:
        return None
    try:
        _adapter(kind).validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if not str(part).endswith("]"))
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"[:200]
    except RecursionError:
        return "it is nested too deeply"
    return None


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(_SHAPES[kind])
