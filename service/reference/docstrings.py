"""Docstrings as text and arguments; of listed objects they are read from the source, without importing it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[2]
_HEADING = re.compile(r"(Args|Attributes|Returns|Raises|Yields|Paper|Differs):$")


@dataclass(frozen=True)
class Docstring:
    """A docstring in parts.

    Args:
        text: Text before the sections, with empty lines between paragraphs.
        arguments: Name of an argument -> its description in one line.
    """

    text: str = ""
    arguments: dict[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first paragraph in one line."""
        return " ".join(self.text.partition("\n\n")[0].split())


def parsed(docstring: str | None) -> Docstring:
    """Return the parts of a docstring of Google style."""
    text: list[str] = []
    arguments: dict[str, list[str]] = {}
    section, current = "", [""]
    for line in cleandoc(docstring or "").splitlines():
        if heading := _HEADING.match(line):
            section = heading[1]
        elif not section:
            text.append(line)
        elif section == "Args" and (match := re.match(r"    (\w[\w, ]*): (.*)", line)):
            current = [match[2]]
            arguments |= dict.fromkeys(re.split(r",\s*", match[1]), current)
        elif section == "Args" and line.startswith("        "):
            current.append(line)
    joined = {name: " ".join(" ".join(lines).split()).replace("``", "`") for name, lines in arguments.items()}
    return Docstring("\n".join(text).strip(), joined)


class Argument(NamedTuple):
    """An argument of a listed object, as written in its source; `default` is None where it has to be given."""

    name: str
    type: str
    default: str | None


class Definition(NamedTuple):
    """A class or function: its docstring and its arguments."""

    docstring: Docstring
    arguments: list[Argument]


def definition(target: str) -> Definition | None:
    """Return the definition of ``module:object`` of this project from its source; None where it is not found.

    Args:
        target: Target as in the catalogue; packages may import the object from one of their modules.
    """
    module, _, name = target.partition(":")
    tree = _tree(module)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            own, around = parsed(ast.get_docstring(node)), parsed(ast.get_docstring(tree) if tree is not None else None)
            return Definition(Docstring(own.text or around.text, own.arguments), list(_arguments(node)))
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return definition(f"{node.module}:{name}")
    return None


def _tree(module: str) -> ast.Module | None:
    place = _ROOT / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else None


def _arguments(node: ast.ClassDef | ast.FunctionDef) -> Iterator[Argument]:
    if isinstance(node, ast.FunctionDef):
        yield from _of_function(node)
        return
    made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    if made:
        yield from _of_function(made[0])
        return
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            annotation = ast.unparse(one.annotation)
            value = ast.unparse(one.value) if one.value is not None else None
            if not annotation.startswith("ClassVar") and "init=False" not in (value or ""):
                yield Argument(one.target.id, annotation, value)


def _of_function(node: ast.FunctionDef) -> Iterator[Argument]:
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + [ast.unparse(one) for one in given.defaults]
    keyword = [ast.unparse(one) if one is not None else None for one in given.kw_defaults]
    for argument, default in zip([*positional, *given.kwonlyargs], [*defaults, *keyword]):
        if argument.arg != "self":
            annotation = ast.unparse(argument.annotation) if argument.annotation is not None else ""
            yield Argument(argument.arg, annotation.strip("'\""), default)
