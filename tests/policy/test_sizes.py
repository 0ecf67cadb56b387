"""A module says one thing, and a function fits on a screen."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("search_spaces", "supernets", "proxies", "nas", "service")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LONGEST_MODULE, LONGEST_BODY = 400, 40


def test_no_module_is_longer_than_400_lines():
    assert len(FILES) > 250
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_no_body_of_a_function_is_longer_than_40_lines():
    """Signature and docstring do not count: those of commands and of public functions say what there is to say."""
    long = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > LONGEST_BODY:
                long[f"{path.relative_to(ROOT).as_posix()}: {node.name}"] = body_lines(node)
    assert long == {}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - statements[0].lineno + 1 if statements else 0
