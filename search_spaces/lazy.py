"""Packages that import what they export only when it is asked for, so that reading a job needs no torch."""

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def lazy(package: str, file: str) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package whose `__init__` imports under `if TYPE_CHECKING` alone.

    Names are thus stated once, for type checkers and at run time. An exported name must not be the name of a module of
    the same package: once imported, the module would hide it.

    Args:
        package: Name of the package.
        file: Path of its `__init__.py`.
    """
    homes: dict[str, str] = {}
    for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in node.body:
                if isinstance(statement, ast.ImportFrom) and statement.module:
                    homes |= {alias.name: statement.module for alias in statement.names}

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return __getattr__
