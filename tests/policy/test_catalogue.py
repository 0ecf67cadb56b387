"""Every name a job can use is real, described, and covered by the suite of its protocol."""

import re
from pathlib import Path
from typing import Any

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
    assert function.__code__.co_argcount == 0, f"{name}: options are given by name"
    for option, parameter in catalogue.parameters("space", name).items():
        assert not parameter.required
        assert option in (function.__doc__ or ""), f"{name}: {option} is not documented"


def test_anything_outside_is_named_by_its_place():
    assert (
        catalogue.resolve("space", "search_spaces.families.mobilenet_v3:small_mobilenet_v3").__name__
        == "small_mobilenet_v3"
    )
    with pytest.raises(ValueError, match="did you mean nsga"):
        catalogue.resolve("searcher", "nsga")


HERE = "tests.policy.test_catalogue"


def plugged_in(space, width: int = 3, *, seed: int = 0) -> dict[str, Any]:
    return {"space": space, "width": width, "seed": seed}


class AnyOption:
    def __init__(self, space, **others):
        self.given = {"space": space, **others}


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_every_kind_takes_objects_of_ones_own_and_gives_them_what_they_take_of_the_offered(kind):
    offered = {"space": "here", "seed": 7, "population": 5}
    assert catalogue.make(kind, f"{HERE}:plugged_in", offered=offered) == {"space": "here", "width": 3, "seed": 7}
    made = catalogue.make(kind, f"{HERE}:plugged_in", offered=offered, options={"width": 4, "seed": 1})
    assert made == {"space": "here", "width": 4, "seed": 1}
    assert catalogue.make(kind, f"{HERE}:AnyOption", offered=offered, options={"a": 1}).given == {
        "space": "here",
        "a": 1,
    }


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_every_kind_says_what_is_wrong_with_a_name_or_an_option(kind):
    with pytest.raises(ValueError, match=f"unknown {kind} 'nothing'.* allowed: .*package.module:object"):
        catalogue.make(kind, "nothing")
    with pytest.raises(ValueError, match="cannot be imported"):
        catalogue.make(kind, "no.such.module:object")
    with pytest.raises(ValueError, match=f"module {HERE} has no 'nothing'"):
        catalogue.make(kind, f"{HERE}:nothing")
    with pytest.raises(
        ValueError, match=rf"{kind} {HERE}:plugged_in has no option 'widht'; did you mean width\? allowed"
    ):
        catalogue.make(kind, f"{HERE}:plugged_in", options={"space": 1, "widht": 2})
    with pytest.raises(ValueError, match=f"{kind} {HERE}:plugged_in needs a value for space; offered are seed"):
        catalogue.make(kind, f"{HERE}:plugged_in", offered={"seed": 1})


def test_arguments_of_an_entry_have_type_and_default():
    found = catalogue.parameters("sampler", f"{HERE}:plugged_in", hidden=("space",))
    assert found == {"width": (int, 3, False), "seed": (int, 0, False)}


@pytest.mark.integration
def test_importing_the_catalogue_imports_nothing_of_what_it_lists():
    import subprocess
    import sys

    code = (
        "import sys, service.catalogue;"
        "print([m for m in sys.modules if m.split('.')[0] in"
        " ('torch', 'numpy', 'yaml', 'pydantic', 'nas', 'supernets', 'search_spaces', 'proxies')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_signatures_are_looked_at_in_the_catalogue_alone():
    root = Path(__file__).parents[2]
    packages = ("search_spaces", "proxies", "supernets", "nas", "service", "benchmarks")
    files = [path for package in packages for path in (root / package).rglob("*.py")]
    looking = [path for path in files if re.search(r"\binspect\.signature\(|import signature\b", path.read_text())]
    assert looking == [root / "service" / "catalogue.py"]


def test_every_export_format_says_how_its_file_is_opened():
    assert all(entry.opened_by for entry in catalogue.EXPORT_FORMATS.values())
