"""Options of what jobs name, against the arguments of its function or class."""

import inspect
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from service.catalogue import suggestion
from service.fields import describe, show


def option_mistakes(
    function: Callable[..., Any],
    *,
    named: str,
    path: str,
    options: Mapping[str, Any],
    given: Collection[str] = (),
) -> Iterator[str]:
    """One line for every option that a function or class does not take.

    Args:
        function: What takes the options as keywords.
        named: What it is called in messages.
        path: Field of the job that holds the options.
        options: Name -> value, as read from a job file.
        given: Arguments that are no options, as something else gives them.
    """
    parameters = inspect.signature(function).parameters
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function)
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    allowed = [name for name in parameters if name not in given]
    for name, value in options.items():
        if name not in allowed:
            valid = suggestion(name, allowed)
            yield f"{path}.{name}: {named} has no such option (got {show(value)}){valid}"
        elif name in hints:
            try:
                TypeAdapter(hints[name]).validate_json(json.dumps(value, default=str), strict=True)
            except ValidationError:
                yield f"{path}.{name}: must be {describe(hints[name])}, got {show(value)}"
