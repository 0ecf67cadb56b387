"""Every number of a job, with values that no machine can follow: one line before any work, or a job that is fine."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest

from search_spaces import Decision, Space
from search_spaces.places import Block, Place
from service import catalogue
from service.errors import InvalidJob
from service.job.job import Job
from service.job.loading import job_of
from service.job.validation import field_paths

OUT_OF_REACH = 10**30
VALUES = (0, -1, 10**6, 10**9, OUT_OF_REACH, 1e300, float("nan"), float("inf"))
LISTS = ([1, 10**9], [OUT_OF_REACH], [1] * 1000, [])
LONGEST_S = 10.0
"""Of the processor; the first of all imports torch, the others take a tenth of a second."""
BASE = {"name": "a", "space": {"name": "small_mobilenet_v3"}, "data": {"source": "digits"}}
GIVEN = ("image_size", "channels", "classes")


def is_number(hint: Any) -> bool:
    return hint in (int, float) or any(is_number(part) for part in get_args(hint) if hint is not type(None))


def numeric_fields() -> list[str]:
    return [".".join(path) for path, hint in field_paths(Job) if is_number(hint)]


def refused(fields: Mapping[str, Any], setting: str) -> list[str] | None:
    """What is wrong with the setting, one line each; None where the job is fine. Anything else is a failure."""
    start, lines = time.process_time(), None
    try:
        job_of(fields, [setting])
    except InvalidJob as error:
        lines = error.mistakes
    assert time.process_time() - start < LONGEST_S, setting
    assert lines is None or all(line and "\n" not in line and len(line) < 600 for line in lines), lines
    return lines


@pytest.mark.parametrize("field", numeric_fields())
def test_numbers_out_of_reach_are_refused_in_one_line(field: str) -> None:
    for value in VALUES:
        lines = refused(BASE, f"{field}={value}")
        if lines is None:
            assert value not in (OUT_OF_REACH, 1e300), f"{field}={value} was accepted"
        else:
            assert any(line.startswith(field.rsplit(".", 1)[0]) for line in lines), (field, value, lines)


def space_options() -> Iterator[tuple[str, str]]:
    for name in catalogue.SPACES:
        yield from ((name, option) for option in catalogue.parameters("space", name) if option not in GIVEN)


@pytest.mark.parametrize(("space", "option"), list(space_options()))
def test_sizes_of_spaces_out_of_reach_are_refused_in_one_line(space: str, option: str) -> None:
    fields = {"name": "a", "space": {"name": space}, "data": {"source": "noise"}}
    for value in (*VALUES[:5], *LISTS):
        if refused(fields, f"space.options.{option}={json.dumps(value)}") is None:
            assert value not in (10**9, OUT_OF_REACH, -1, *LISTS[:3]), f"{option}={value} was accepted"


PARTS = (
    *((name, "searcher", f"search.searcher={name}", "search.searcher_options") for name in catalogue.SEARCHERS),
    *((name, "sampler", f"train.sampler={name}", "train.sampler_options") for name in catalogue.SAMPLERS),
    *((name, "proxy", f"proxies.names=[{name}]", f"proxies.options.{name}") for name in catalogue.PROXIES),
)


@pytest.mark.parametrize(("name", "kind", "named", "place"), PARTS)
def test_options_of_parts_out_of_reach_are_refused_in_one_line(name: str, kind: str, named: str, place: str) -> None:
    field, _, value = named.partition("=")
    section, entry = field.split(".")
    fields = {**BASE, section: {entry: [name] if value.startswith("[") else name}}
    for option, one in catalogue.parameters(kind, name).items():
        if is_number(one.type):
            for wrong in (10**9, OUT_OF_REACH, -1):
                lines = refused(fields, f"{place}.{option}={wrong}")
                assert lines is not None or (one.type is not int and wrong != OUT_OF_REACH), (place, option, wrong)


@pytest.mark.parametrize("size", [641, 100_000, OUT_OF_REACH])
def test_images_out_of_reach_are_refused(size: int) -> None:
    fields = {"name": "a", "space": {"name": "nasbench201"}, "data": {"source": "noise"}}
    lines = refused(fields, f"data.image_size={size}")
    assert lines is not None
    assert "data.image_size: must be at most" in lines[0]


def countless() -> Space:
    """A place that follows decisions with 10**9 combinations."""
    decisions = tuple(Decision(f"d{i}", tuple(range(10))) for i in range(9))
    block = Block("b", (1,), build=lambda: pytest.fail("was built"), count=lambda: {"params": 1})
    return Space(
        name="countless",
        decisions=decisions,
        places=lambda: [Place(tuple(d.name for d in decisions), lambda *values: block)],
    )


def test_blocks_without_number_are_not_listed() -> None:
    with pytest.raises(ValueError, match=r"has up to 1e\+09 blocks, at most 1,000,000 are listed"):
        countless().costs([countless().largest()])


def test_a_batch_that_fills_the_memory_is_refused_with_the_largest_that_does_not() -> None:
    fields = {"name": "a", "space": {"name": "ofa_mobilenet_v3"}, "data": {"source": "noise", "image_size": 224}}
    lines = refused(fields, "latency.batch_size=50000")
    assert lines == ["latency.batch_size: must be at most 7,133 for inputs of this size, got 50,000"]


def test_networks_that_fit_nowhere_are_refused() -> None:
    fields = {"name": "a", "space": {"name": "nasbench201"}, "data": {"source": "noise"}}
    (line,) = refused({**fields, "space": {"name": "nasbench201", "options": {"width": 16384}}},
                      "space.options.cells=200") or [""]  # fmt: skip
    assert line == "space: its largest network has more than 20,000,000,000 weights; make its sizes smaller"
