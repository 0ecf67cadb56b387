"""What a name stands for where the library is used without a service: a module of a package, or code of one's own."""

import importlib
import pkgutil
from typing import Any


def find(name: str, *, package: str, attribute: str) -> Any:
    """Return what a name stands for.

    Args:
        name: Name of a module in `package`, or `package.module:object`.
        package: Where the modules lie.
        attribute: What is meant in such a module; `{name}` in it is replaced.

    Raises:
        ValueError: There is none; says what there is.
    """
    module, _, wanted = name.partition(":")
    if not wanted:
        there = sorted(item.name for item in pkgutil.iter_modules(importlib.import_module(package).__path__))
        if name not in there:
            raise ValueError(f"must be one of {', '.join(there)} or package.module:object, got {name!r}")
        module, wanted = f"{package}.{name}", attribute.format(name=name)
    try:
        return getattr(importlib.import_module(module), wanted)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"must be importable as package.module:object, got {name!r}: {error}") from error
