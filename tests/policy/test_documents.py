"""README and guide say what is true: their commands, job files and examples work, and the site is built."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer
import yaml
from PIL import Image

from service.cli import app
from service.job.files import job_file, read_fields
from service.job.loading import job_of
from service.queue.executors.executor import Ticket
from service.queue.pipeline import drafts

ROOT = Path(__file__).parents[2]
CLAIMS = ("docs/benchmarks.md",)
"""Pages on which commands in sentences and tables are complete, too."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Block(NamedTuple):
    """A block of a page between fences, or what stands between backticks in a sentence."""

    page: str
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    name, text = page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    sentences = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`((?:nas|python -m) [^`]+)`", sentences)
    return [Block(name, language, block) for language, block in fenced] + [
        Block(name, "inline", " ".join(command.split())) for command in inline
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def lines(block: Block) -> list[str]:
    """The commands of a block, one a line, without comments and without where their output goes."""
    joined = block.text.replace("\\\n", " ")
    return [re.split(r"\s#|\s>\s", line)[0].strip() for line in joined.splitlines() if not line.startswith("#")]


COMMANDS = sorted(
    {
        (block.page, line.removeprefix(".venv/bin/"))
        for block in BLOCKS
        if block.language in ("", "sh", "bash") or (block.language == "inline" and block.page in CLAIMS)
        for line in lines(block)
        if line
    }
)
MENTIONED = sorted({(block.page, block.text) for block in BLOCKS if block.language == "inline"})
NAS = [(page, line) for page, line in COMMANDS if line.startswith("nas ")]
OTHERS = {"pip", "python", "python3", "cd", "export", "make", "bash", "torchrun", "pytest", "mkdir", "ls"}


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and the words after its name."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words, "the name of a command is missing"
        assert words[0] in command.commands, f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def parsed(words: list[str]) -> None:
    """Refuse a command whose name, options or number of arguments are wrong; nothing is run."""
    command, arguments = command_of(words)
    command.make_context(command.name, list(arguments))


def test_there_are_pages_and_commands():
    assert len(PAGES) >= 15
    assert len(NAS) >= 60


@pytest.mark.parametrize(("page", "line"), NAS)
def test_commands_are_understood(page, line):
    parsed(shlex.split(line)[1:])


@pytest.mark.parametrize(("page", "text"), [pair for pair in MENTIONED if pair[1].startswith("nas ")])
def test_commands_in_sentences_have_names_and_options_that_exist(page, text):
    words = shlex.split(text)[1:]
    if words[0].isupper():  # it stands for the name of any command
        return
    command, rest = command_of(words)
    known = {name for parameter in command.params for name in parameter.opts}
    assert {word.split("=")[0] for word in rest if word.startswith("--")} <= known | {"--help"}


@pytest.mark.parametrize(("page", "line"), [pair for pair in COMMANDS if pair not in NAS])
def test_other_commands_are_there(page, line):
    words = shlex.split(line)
    if "-m" in words and words[0] in ("python", "torchrun"):
        module, *arguments = words[words.index("-m") + 1 :]
        assert importlib.util.find_spec(module) is not None
        if module == "service.cli":
            parsed(arguments)
    else:
        assert words[0] in OTHERS, f"{page}: nothing checks {line!r}"
    scripts = [word for word in words if word.endswith((".py", ".sh")) and "/" in word]
    assert all((ROOT / script.removeprefix("espalier/")).is_file() for script in scripts)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"])
def test_job_files_and_pipelines_are_valid(block, tmp_path, monkeypatch):
    content = yaml.safe_load(block.text)
    monkeypatch.chdir(tmp_path)
    for number in range(40):
        place = tmp_path / "photos" / ("cat", "dog")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (number, 0, 0)).save(place / f"{number}.png")
    (tmp_path / "multi30k").mkdir()
    for language in ("en", "de"):
        (tmp_path / "multi30k" / f"train.{language}").write_text("one two\n" * 40)
    nodes = np.arange(40)
    np.savez(tmp_path / "cora.npz", x=np.eye(40), edges=np.stack([nodes[1:], nodes[:-1]], 1), labels=nodes % 4)
    (tmp_path / "people.csv").write_text("age,label\n" + "".join(f"{node},{node % 4}\n" for node in nodes))
    (tmp_path / "friends.txt").write_text("0 1\n1 2\n")
    if "stages" in content:
        assert drafts(content, [], Ticket(name="", directory=str(ROOT)), "study.yaml")
        return
    if {"name", "data", "space"} <= content.keys():
        assert job_of(content).name == content["name"]
        return
    whole = read_fields(job_file("quickstart"))
    if "space" in content:  # the recipe's own options are not those of another space
        whole = {**whole, "space": content["space"]}
    assert job_of(merged(whole, content)).space.name == whole["space"]["name"]


def merged(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    both = {key: merged(whole[key], value) for key, value in part.items() if isinstance(whole.get(key), dict)}
    return {**whole, **part, **both}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"])
def test_examples_in_python_run(block, capsys):
    exec(compile(block.text, block.page, "exec"), {"__name__": "example"})
    assert capsys.readouterr().out


def test_the_example_of_the_library_learns(capsys):
    block = next(block for block in BLOCKS if block.page == "docs/library.md" and block.language == "python")
    exec(compile(block.text, block.page, "exec"), {"__name__": "example"})
    accuracy = float(capsys.readouterr().out.splitlines()[-1])
    assert 20 < accuracy <= 100  # two epochs: far above chance


def test_blocks_are_of_a_kind_that_is_checked():
    assert {block.language for block in BLOCKS} <= {"", "sh", "bash", "yaml", "python", "text", "inline"}


def test_make_targets_exist():
    targets = {line.split()[1] for _, line in COMMANDS if line.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"run", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_every_page_is_in_the_table_of_contents():
    contents = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"- {page.name}" not in contents] == []


@pytest.mark.integration
def test_the_site_is_built_without_a_warning(tmp_path):
    """No page is missing, and no link leads nowhere."""
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
    assert "nas retrain" in (tmp_path / "site" / "commands.html").read_text(encoding="utf-8")


def test_recipes_state_what_they_cost():
    recipes = list((ROOT / "service" / "recipes").glob("*.yaml"))
    assert len(recipes) >= 3
    for recipe in recipes:
        head = recipe.read_text(encoding="utf-8").split("\nname:")[0]
        part = dict(re.findall(r"^#   (\w+) +(.*(?:\n#    .*)*)", head, flags=re.MULTILINE))
        commands = re.findall(r"nas [a-z][^(;)\n]*(?:\n# +--[^\n]*)*", part["command"])
        assert any(recipe.stem in command.split() for command in commands), recipe
        for command in commands:
            parsed(shlex.split(re.sub(r"\n#", " ", command))[1:])
        assert re.search(r"\d+ (minutes|hours|epochs)\b.*\b(CPU|GPU)\b", part["cost"]), recipe
        assert re.search(r"\d (%|million\b)|tau of 0\.\d", part["result"]), recipe
