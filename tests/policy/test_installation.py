"""What people are told to install is this project, or one of the named others."""

import re
import tomllib
from pathlib import Path

import pytest

from service.job.environment import DISTRIBUTION

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OTHERS = {"pip", "litert-torch", "onnxruntime", "onnxruntime-gpu", "tensorrt", "torch", "mlflow[auth]"}
"""What the texts name beside this project: packages whose names were looked up."""
FOLDERS = ("nas", "supernets", "proxies", "search_spaces", "service", "docs", "examples", "tests/slurm")
KINDS = (".py", ".md", ".yaml", ".sh")
TEXTS = [*ROOT.glob("*.md"), ROOT / "Makefile"] + [
    path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in KINDS
]
COMMAND = re.compile(r"""pip install\s+(?:(?:-c\s+\S+|--?[\w-]+)\s+)*(?P<what>'[^']+'|"[^"]+"|[\w./\[\],-]*\w)""")
LINES = [
    (path.relative_to(ROOT).as_posix(), found["what"].strip("'\""))
    for path in TEXTS
    for found in COMMAND.finditer(path.read_text(encoding="utf-8"))
]


def test_commands_were_found() -> None:
    assert len(LINES) >= 15
    assert {place for place, _ in LINES} >= {"README.md", "Makefile", "nas/hardware/onnx_model.py"}


@pytest.mark.parametrize(("place", "requirement"), LINES)
def test_what_is_installed_is_ours_or_a_known_package(place: str, requirement: str) -> None:
    if requirement in OTHERS:
        return
    form = re.fullmatch(r"(?P<name>[\w-]+|\.|\./espalier)(?:\[(?P<extras>[\w,-]+)\])?", requirement)
    assert form is not None, f"{place}: {requirement}"
    assert form["name"] in (DISTRIBUTION, ".", "./espalier"), f"{place}: {requirement} is another project"
    extras = set(form["extras"].split(",")) if form["extras"] else set()
    assert extras <= PROJECT["optional-dependencies"].keys(), f"{place}: {requirement}"


def test_the_distribution_has_one_name() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    own = [need for needs in PROJECT["optional-dependencies"].values() for need in needs if need.startswith("espalier")]
    assert own
    assert all(need.split("[")[0] == DISTRIBUTION for need in own)
