"""Pages of the documentation that are made from the code while the site is built."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from service.cli import app
from service.reference.field_reference import field_reference


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the references of commands and fields."""
    for name, content in {"commands.md": commands(), "fields.md": field_reference()}.items():
        files.append(File.generated(config, name, content=content))
    return files


def commands() -> str:
    """Return the reference of all commands as Markdown."""
    pages = [_page(name, command) for name, command in _walk("nas", typer.main.get_command(app))]
    return "# Commands\n\nThe text of `nas COMMAND --help`.\n\n" + "\n".join(pages)


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield all commands below a group with their full names."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for sub, child in command.commands.items():
        yield from _walk(f"{name} {sub}", child)


def _page(name: str, command: Any) -> str:
    paragraphs = _plain(command.help).split("\n\n")
    body = [_paragraph(paragraph) for paragraph in paragraphs]
    rows = [_row(parameter) for parameter in command.params if not parameter.hidden]
    table = ["| argument | meaning |", "|---|---|", *rows] if rows else []
    return "\n".join([f"## {name}", "", *body, *table, ""])


def _paragraph(text: str) -> str:
    """Return one paragraph of a help text; one with aligned lines below its head is shown as it is."""
    lines = text.splitlines()
    if not any(line.startswith("  ") for line in lines):
        return " ".join(lines) + "\n"
    head = [] if lines[0].startswith(" ") else [lines.pop(0).rstrip(":") + ":", ""]
    return "\n".join([*head, "```text", *(line.removeprefix("  ") for line in lines), "```", ""])


def _row(parameter: Any) -> str:
    is_option = parameter.param_type_name == "option"
    shown = ", ".join(parameter.opts) if is_option else parameter.metavar or parameter.name.upper()
    meaning = " ".join(_plain(parameter.help).split()).replace("|", r"\|")
    return f"| `{shown}` | {meaning} |"


def _plain(text: str | None) -> str:
    """Return a help text without the marks of the terminal."""
    return re.sub(r"\[/?(?:bold|dim|italic)?\]", "", text or "").strip()
