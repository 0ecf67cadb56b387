"""The README does what it says."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from service.cli import app

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = [
    line.split("#")[0].split(">")[0].strip().removeprefix(".venv/bin/")
    for language, block in BLOCKS
    for line in block.splitlines()
    if language == "" and re.match(r"(\.venv/bin/)?nas ", line)
]


def test_there_are_commands():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command):
    """Subcommand, options and number of arguments exist; nothing is run."""
    group = typer.main.get_command(app)
    name, *arguments = shlex.split(command)[1:]
    assert name in group.commands
    group.commands[name].make_context(name, list(arguments), parent=None)


def test_make_targets_exist():
    targets = re.findall(r"^make (\w+)", "\n".join(block for _, block in BLOCKS), flags=re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == ["run", "test"]
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_python_example_runs(capsys):
    example = next(block for language, block in BLOCKS if language == "python")
    exec(compile(example, "README.md", "exec"), {})
    accuracy = float(capsys.readouterr().out.splitlines()[-1])
    assert 20 < accuracy <= 100  # two epochs: far above chance


def test_recipes_state_what_they_cost():
    for recipe in (ROOT / "service" / "recipes").glob("*.yaml"):
        head = recipe.read_text(encoding="utf-8").split("\nname:")[0]
        assert all(word in head for word in ("command", "cost", "result")), recipe
        assert "@@" not in head, recipe
    assert "@@" not in TEXT
