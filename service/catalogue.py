"""What stands behind the names that a job can use; nothing is imported before it is needed.

Other objects are named ``package.module:object``, so that anyone can plug in their own.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from service import own_code
from service.entries import Aggregate, Listed
from service.export_formats import EXPORT_FORMATS
from service.tables import (
    AGGREGATES,
    BACKENDS,
    DATA,
    DEVICES,
    EXECUTORS,
    OBJECTIVES,
    PREDICTORS,
    PROXIES,
    SAMPLERS,
    SEARCHERS,
    SPACES,
    STAGES,
    TASKS,
    WANTED_DATA,
)


class Parameter(NamedTuple):
    """One argument that an entry takes by name."""

    type: Any
    """Its annotation, `Any` where there is none."""
    default: Any
    required: bool


KINDS: dict[str, Mapping[str, Listed]] = {
    "data": DATA,
    "task": TASKS,
    "space": SPACES,
    "sampler": SAMPLERS,
    "searcher": SEARCHERS,
    "objective": OBJECTIVES,
    "proxy": PROXIES,
    "predictor": PREDICTORS,
    "backend": BACKENDS,
    "format": EXPORT_FORMATS,
    "device": DEVICES,
    "stage": STAGES,
    "queue": EXECUTORS,
}

GIVEN_TO_SPACES = ("call_own", "graph", "make_space")
"""Arguments of spaces that a job gives by itself; they are no options."""
GIVEN_TO_TASKS = ("make_task",)
"""The same of tasks."""


def check(kind: str, name: str) -> None:
    """Refuse a name that nothing stands for, without importing what the tables list.

    Raises:
        ValueError: It is neither listed nor an importable ``package.module:object``.
    """
    if name in KINDS[kind]:
        return
    if ":" not in name:
        raise ValueError(f"unknown {kind} {name!r}{suggestion(name, KINDS[kind])}, or package.module:object")
    _load_own(name)


def make(
    kind: str, name: str, *, offered: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
) -> Any:
    """Return the object of a name, called with the offered arguments that it takes and with `options`.

    Args:
        kind: A key of `KINDS`, such as `space`.
        name: A name of that table, or `package.module:object`.
        offered: Values by the name of their argument. Those that the entry does not take are left out.
        options: Arguments that a user gave. They win over what is offered.

    Raises:
        ValueError: There is no such name or option, an argument is missing, or the entry refuses a value.
    """
    target, offered, options = resolve(kind, name), offered or {}, options or {}
    taken, any_option = _signature(target)
    for option in options if not any_option else ():
        check_option(kind, name, option, taken)
    given = {**{argument: offered[argument] for argument in taken if argument in offered}, **options}
    missing = [argument for argument, one in taken.items() if one.required and argument not in given]
    if missing:
        there = f"offered are {', '.join(offered)}" if offered else "nothing is offered"
        raise ValueError(f"{kind} {name} needs a value for {', '.join(missing)}; {there}, the rest must be options")
    try:
        return target(**given)
    except (ValueError, TypeError, OSError):
        raise
    except Exception as error:
        if name in KINDS[kind]:
            raise  # a fault of the program
        raise ValueError(f"{kind} {name} failed: {own_code.fault(error)}") from error


def call_own(target: str, offered: Mapping[str, Any]) -> Any:
    """Return what a function of the user's own gives, called with the offered arguments that it takes.

    Args:
        target: The function, as ``package.module:function``.
        offered: Values by the name of their argument.

    Raises:
        ValueError: There is no such function, it needs something else, or it fails.
    """
    function = _load_own(target)
    taken, _ = _signature(function)
    missing = [name for name, one in taken.items() if one.required and name not in offered]
    if missing:
        raise ValueError(f"{target} needs a value for {', '.join(missing)}; offered are {', '.join(offered)}")
    try:
        return function(**{name: value for name, value in offered.items() if name in taken})
    except Exception as error:
        raise ValueError(f"{target} failed: {own_code.fault(error)}") from error


def wanted_data(space: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of `data` that a space with these options asks for where a job leaves them open."""
    target = WANTED_DATA.get(space)
    return {} if target is None else own_code.imported(target)(**options)


def parameters(kind: str, name: str, *, hidden: Collection[str] = ()) -> dict[str, Parameter]:
    """Return the arguments that a name takes, in their order.

    Args:
        kind: A key of `KINDS`, such as `space`.
        name: A name of that table, or `package.module:object`.
        hidden: Arguments that are left out, such as those that are offered.

    Raises:
        ValueError: There is no such name.
    """
    taken, _ = _signature(resolve(kind, name))
    return {argument: one for argument, one in taken.items() if argument not in hidden}


def takes_any_option(kind: str, name: str) -> bool:
    """Return whether a name takes arguments of every name (`**options`)."""
    return _signature(resolve(kind, name))[1]


def check_option(kind: str, name: str, option: str, allowed: Collection[str]) -> None:
    """Refuse an option that is not among the allowed ones.

    Raises:
        ValueError: The option is not allowed; the message lists those that are.
    """
    if option not in allowed:
        there = suggestion(option, allowed) if allowed else "; it has none"
        raise ValueError(f"{kind} {name} has no option {option!r}{there}")


def check_target(target: str) -> None:
    """Refuse a ``package.module:object`` that cannot be imported.

    Raises:
        ValueError: The object cannot be imported.
    """
    _load_own(target)


def resolve(kind: str, name: str) -> Any:
    """Return the object of a listed name, or of ``package.module:object``.

    Args:
        kind: A key of `KINDS`, such as `space`.
        name: A name of that table, or where to import it from.

    Raises:
        ValueError: There is no such name, module or object.
    """
    check(kind, name)
    return own_code.imported(KINDS[kind][name].target) if name in KINDS[kind] else _load_own(name)


def entry(name: str) -> Listed | Aggregate | None:
    """Return what is listed under a name, of whatever kind; None where nothing is."""
    tables: list[Mapping[str, Listed | Aggregate]] = [*KINDS.values(), AGGREGATES]
    return next((table[name] for table in tables if name in table), None)


def recipes() -> dict[str, Path]:
    """Return the complete jobs that come with the package, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "recipes").glob("*.yaml"))}


def recipe_summary(path: Path) -> str:
    """Return the first line of the comment on top of a recipe."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Return the end of a message: the probably intended name, and all allowed names."""
    names = list(valid)
    close = get_close_matches(name, names, n=2)
    meant = f"; did you mean {' or '.join(close)}?" if close else ";"
    return f"{meant} allowed: {', '.join(names)}"


def _load_own(target: str) -> Any:
    """Return an object of the user's own, which may lie in a file beside the job or in the current folder."""
    own_code.make_importable(".")
    return own_code.imported(target)


def _signature(target: Callable[..., Any]) -> tuple[dict[str, Parameter], bool]:
    """Return the arguments that can be given by name, and whether there may be others as well."""
    if not callable(target):
        raise ValueError(f"{target!r} can't be called")
    try:
        hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):  # an annotation of names that only type checkers import; a callable without any
        hints = {}
    found: dict[str, Parameter] = {}
    any_other = False
    for name, one in inspect.signature(target).parameters.items():
        if one.kind is inspect.Parameter.VAR_KEYWORD:
            any_other = True
        elif one.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
            required = one.default is inspect.Parameter.empty
            found[name] = Parameter(hints.get(name, Any), None if required else one.default, required)
    return found, any_other
