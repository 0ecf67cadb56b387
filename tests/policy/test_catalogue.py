"""Every name a job can use is real, described, and covered by the suite of its protocol."""

import inspect

import pytest

from service import catalogue
from tests.golden.test_golden import SPACES

ENTRIES = [(kind, name) for kind, table in catalogue.KINDS.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_entry_is_real_and_described(kind, name):
    assert callable(catalogue.resolve(kind, name))
    assert 10 < len(catalogue.KINDS[kind][name].summary) < 80


def test_every_space_has_golden_numbers():
    assert set(SPACES) == set(catalogue.SPACES)


@pytest.mark.parametrize("name", catalogue.SPACES)
def test_options_of_spaces_are_keywords_with_defaults_and_documented(name):
    function = catalogue.resolve("space", name)
    for option in inspect.signature(function).parameters.values():
        assert option.kind is inspect.Parameter.KEYWORD_ONLY
        assert option.default is not inspect.Parameter.empty
        assert option.name in (function.__doc__ or ""), f"{name}: {option.name} is not documented"


def test_anything_outside_is_named_by_its_place():
    assert catalogue.resolve("space", "search_spaces.mobilenet_v3:small_mobilenet_v3").__name__ == "small_mobilenet_v3"
    with pytest.raises(ValueError, match="did you mean nsga"):
        catalogue.resolve("searcher", "nsga")
