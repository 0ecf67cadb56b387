"""Mistakes stand at the field that they are about."""

from dataclasses import dataclass, field

import pytest

from search_spaces.errors import FieldError
from service.job.validation import check_fields, option_mistakes, placed


@dataclass(frozen=True, kw_only=True)
class Section:
    rate: float = 0.1
    size: int | None = 1

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise FieldError("rate", f"must be more than 0, got {self.rate}")
        if self.size is None:
            raise FieldError("size", f"must be given, got {self.size}")
        if self.size == 13:
            raise ValueError("rate and size do not go together")


@dataclass(frozen=True, kw_only=True)
class Tree:
    section: Section = field(default_factory=Section)


def lines(**values: object) -> list[str]:
    return list(check_fields(Tree, {"section": values}, {}).mistakes.values())


def test_a_mistake_of_a_field_stands_at_the_field() -> None:
    assert lines(rate=-1) == ["section.rate: must be more than 0, got -1.0"]
    assert lines(size=None) == ["section.size: must be given, got null"]


def test_any_other_value_error_stands_at_the_section_whatever_its_first_word() -> None:
    assert lines(size=13) == ["section: rate and size do not go together"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FieldError("width", "must be odd, got 2"), "space.options.width: must be odd, got 2"),
        (FieldError("other", "must be odd, got 2"), "space: other must be odd, got 2"),
        (ValueError("width must be odd"), "space: width must be odd"),
        (TypeError("no"), "space: no"),
    ],
)
def test_an_error_is_placed_by_its_field_alone(error: Exception, line: str) -> None:
    assert placed(error, "space", {"width": "space.options.width"}) == line


def with_options(space: object, width: int = 1, names: list[str] | None = None) -> None:
    """Something that a job could name."""


def test_options_are_checked_against_names_and_types() -> None:
    name = f"{__name__}:with_options"
    found = option_mistakes(
        "sampler", name, {"width": "a", "names": ["a"], "with": 2, "space": 1}, path="here", hidden=("space",)
    )
    assert list(found) == [
        "here.width: must be a whole number, got 'a'",
        f"here.with: {name} has no such option (got 2); did you mean width? allowed: width, names",
        f"here.space: {name} has no such option (got 1); allowed: width, names",
    ]
