"""Finds what a name stands for where the library is used without a service: a module of a package, or the user's own
code.
"""

import importlib
import pkgutil
from difflib import get_close_matches
from typing import Any


def find(name: str, *, package: str, attribute: str) -> Any:
    """Return what a name stands for.

    Args:
        name: Name of a module in `package`, or `package.module:object`.
        package: Package that holds the modules.
        attribute: Name of the object in such a module; `{name}` in it is replaced.

    Raises:
        ValueError: The name stands for nothing; the message lists the names.
    """
    module, _, wanted = name.partition(":")
    if not wanted:
        there = names_in(package)
        if name not in there:
            close = get_close_matches(name, there, n=1)
            meant = f"; did you mean {close[0]}?" if close else ";"
            raise ValueError(f"{name!r} is unknown{meant} allowed: {', '.join(there)}, or package.module:object")
        module, wanted = f"{package}.{name}", attribute.format(name=name)
    try:
        return getattr(importlib.import_module(module), wanted)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name!r} cannot be imported: {error}") from error


def names_in(package: str) -> list[str]:
    """Return the names of the modules of a package."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__))
