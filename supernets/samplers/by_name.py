"""Samplers of the library by their names, for those who train without a job.

One rule finds them: `path_adaptive` is the class `PathAdaptive` of the module `path_adaptive` of this room.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from search_spaces import Space
from search_spaces.errors import FieldError
from supernets.samplers.sampler import MakeSampler, Sampler, offered


def sampler_classes() -> dict[str, Any]:
    """Return the samplers that draw from a space, by their names."""
    package = importlib.import_module("supernets.samplers")
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        name = module.name.title().replace("_", "")
        made = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), name, None)
        if is_dataclass(made) and "space" in {field.name for field in fields(made)}:
            found[module.name] = made
    return found


def named(name: str, options: Mapping[str, Any]) -> MakeSampler:
    """Return what makes a sampler of the library.

    Raises:
        FieldError: There is no such sampler.
    """
    classes = sampler_classes()
    if name not in classes:
        raise FieldError("sampler", f"must be one of {', '.join(classes)}, or made by you, got {name!r}")
    kind = classes[name]
    takes = {field.name for field in fields(kind) if field.init}

    def make(space: Space, subnets: int | None) -> Sampler:
        given = {argument: value for argument, value in offered(space, subnets).items() if argument in takes}
        return kind(**{**given, **options})

    return make
