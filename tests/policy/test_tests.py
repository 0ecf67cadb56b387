"""Tests that can fail: none passes, or skips itself, by what it is given instead of by what the code does."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests").rglob("test_*.py"))


def functions_of(source: str) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def ways_out(test: ast.FunctionDef) -> Iterator[int]:
    """Lines of `assert ... or ...` with a part that only looks at the parameters of the test.

    For some of them such an assertion holds whatever the code does.
    """
    given = {argument.arg for argument in test.args.args}
    for node in ast.walk(test):
        chosen = node.test if isinstance(node, ast.Assert) else None
        if isinstance(chosen, ast.BoolOp) and isinstance(chosen.op, ast.Or):
            yield from [node.lineno for part in chosen.values if _is_given(part, given)][:1]


def _is_given(part: ast.expr, given: set[str]) -> bool:
    names = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
    calls = any(isinstance(node, ast.Call) for node in ast.walk(part))
    return not calls and bool(names & given) and all(name in given or name.isupper() for name in names)


def test_no_assertion_holds_for_some_parameters_whatever_the_code_does() -> None:
    found = [
        (path.name, line) for path in FILES for test in functions_of(path.read_text("utf-8")) for line in ways_out(test)
    ]
    assert found == []


def test_promises_of_a_whole_catalogue_are_never_skipped() -> None:
    """What does not promise something is left out of the parameters by name, and another test says what it does."""
    conformance = [path for path in FILES if path.parent.name == "conformance"]
    assert len(conformance) >= 5
    assert [path.name for path in conformance if "pytest.skip(" in path.read_text("utf-8")] == []


def test_such_assertions_are_found() -> None:
    source = """
def test_a(name, kind):
    assert name in KNOWN or works()
    assert works() or kind == "slow" or kind.name == "b"
    result = works()
    assert result or other(name)
    assert result and name in KNOWN
"""
    (test,) = functions_of(source)
    assert list(ways_out(test)) == [3, 4]
