"""Docstrings say what a function does with a verb, and what an argument is with a noun."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("search_spaces", "supernets", "proxies", "nas", "service")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
NO_VERBS = """
a all an any as at before by each every everything for from how if in it its many more most no none nothing of
on one only other others our some something such that the their there these they this those to two what when
where whether which who whose why with without
"""
ENDS_IN_S = frozenset(("Pass", "Press", "Process", "Compress", "Express", "Address", "Access", "Discuss", "Focus"))
ENTRY = re.compile(r"^ {4,8}[\w*`]+(, [\w*`]+)*: (Of|Whose|What for|For what|By what|On what|In what)\b")


def test_functions_begin_with_an_imperative_verb():
    """Properties are named like attributes and read like them."""
    first = {
        f"{path.relative_to(ROOT).as_posix()}:{node.lineno} {node.name}": (ast.get_docstring(node) or "").split()[0]
        for path in FILES
        for node in functions(path)
    }
    assert len(first) > 1500
    assert {place: word for place, word in first.items() if not imperative(word)} == {}


def test_entries_of_arguments_and_attributes_say_what_they_are():
    """`seed: Seed of the search`, not `seed: Of the search`: an entry is read without its name, in `nas show` too."""
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {line.strip()}"
        for path in FILES
        for docstring in docstrings(path)
        for line in docstring.splitlines()
        if ENTRY.match(line)
    }
    assert found == set()


def imperative(word: str) -> bool:
    plain = word.rstrip(",;:.")
    if not re.fullmatch(r"[A-Z][a-z]+(-[a-z]+)?", plain) or plain.lower() in NO_VERBS.split():
        return False
    return not plain.endswith("s") or plain in ENDS_IN_S


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
            if not any("property" in name or name.endswith(".setter") for name in decorators):
                yield node


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
