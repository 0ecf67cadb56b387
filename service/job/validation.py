"""Turns plain data into a tree of dataclasses, and reports all mistakes at once in plain words.

The types are checked by pydantic, ranges by the dataclasses themselves. A field with a mistake is noted and replaced by
its default, so that the rest is checked as well.
"""

import copy
import json
import re
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from search_spaces.errors import FieldError
from search_spaces.limits import option_mistake
from service import catalogue
from service.catalogue import suggestion

Path = tuple[str, ...]
T = TypeVar("T")
_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
_YAML = {"None": "null", "True": "true", "False": "false"}


@dataclass(kw_only=True)
class Checked(Generic[T]):
    """The result of checking: the tree (with defaults where a field was wrong), and the mistakes by their path."""

    tree: T | None = None
    mistakes: dict[Path, str] = field(default_factory=dict)

    def sound(self, *path: str) -> bool:
        """Return whether nothing at, below or above this path is wrong."""
        return not any(wrong[: len(path)] == path[: len(wrong)] for wrong in self.mistakes)


def check_fields(cls: type[T], data: Mapping[str, Any], placeholders: Mapping[str, Any]) -> Checked[T]:
    """Build the dataclass `cls` from nested mappings.

    Args:
        cls: The dataclass at the root of the tree; its pydantic configuration forbids unknown fields.
        data: Field values as read from a file.
        placeholders: Values to go on with where a required field at the root is missing or wrong.
    """
    root: Any = cls
    adapter: TypeAdapter[T] = _adapter(root)
    checked: Checked[T] = Checked()
    remaining = copy.deepcopy(dict(data))
    for _ in range(1 + 2 * len(field_paths(root)) + len(data)):
        try:
            checked.tree = adapter.validate_json(json.dumps(remaining, default=str), strict=True)
            return checked
        except ValidationError as error:
            repaired = False
            found = dict(_mistake(cls, detail) for detail in reversed(error.errors(include_url=False)))
            for path, message in reversed(found.items()):  # the first of several on one field
                checked.mistakes.setdefault(path, message)
                repaired |= _take_out(cls, remaining, path, placeholders)
                if not repaired:  # the default is wrong, too: the whole section is left out
                    repaired = _take_out(cls, remaining, path[:1], placeholders)
            if not repaired:
                return checked
    return checked


@cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


@cache
def field_paths(cls: type, above: Path = ()) -> tuple[tuple[Path, Any], ...]:
    """Return every field that is no dataclass itself, with its type."""
    found: list[tuple[Path, Any]] = []
    for name, hint in field_types(cls).items():
        inner = section(hint)
        if inner is not None:
            found += field_paths(inner, (*above, name))
        if inner is not hint:
            found.append(((*above, name), hint))
    return tuple(found)


def section(hint: Any) -> type | None:
    """Return the dataclass that a type is, be it that or null; None for any other type."""
    return next((part for part in _alternatives(hint) if isinstance(part, type) and is_dataclass(part)), None)


def field_types(cls: type) -> dict[str, Any]:
    """Return the resolved type of each field of a dataclass."""
    hints = get_type_hints(cls)
    return {item.name: hints[item.name] for item in fields(cls)}


def type_at(cls: type, path: Sequence[str]) -> Any:
    """Return the type that a path leads to, a field or an element of a list or mapping; None where it leads nowhere."""
    hint: Any = cls
    for name in path:
        if (inside := section(hint)) is not None:
            hint = field_types(inside).get(name)
            continue
        inner = [arguments for part in _alternatives(hint) if (arguments := get_args(part))]
        hint = (
            [one for one in inner[0] if one is not Ellipsis][-1]
            if inner
            else (Any if hint in (Any, dict, list) else None)
        )
    return hint


def describe(hint: Any) -> str:
    """Return a type in plain words, to follow "must be"."""
    if hint in _NAMES:
        return _NAMES[hint]
    if isinstance(hint, type) and is_dataclass(hint):
        return f"a mapping with the fields {', '.join(field_types(hint))}"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(str(argument) for argument in arguments)}"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(argument) for argument in arguments))
    if origin is not None and issubclass(origin, Mapping):
        return "a mapping of names to values" if arguments[-1] is Any else f"a mapping of names to {_many(hint)}"
    if origin is not None and issubclass(origin, Collection):
        return f"a list of {_many(hint)}"
    return "a value of another kind"


def option_mistakes(
    kind: str, name: str, options: Mapping[str, Any], *, path: str, hidden: Collection[str] = ()
) -> Iterator[str]:
    """Yield a line for each option that an entry of the catalogue does not have, or whose value is of another type.

    Args:
        kind: A key of `catalogue.KINDS`.
        name: A name of that table, or `package.module:object`.
        options: Options by name.
        path: Path of these options in the job.
        hidden: Arguments that are not options.

    Raises:
        ValueError: There is no such name.
    """
    valid = catalogue.parameters(kind, name, hidden=hidden)
    any_option = catalogue.takes_any_option(kind, name)
    for option, value in options.items():
        if option in valid:
            wanted = valid[option].type
            try:
                TypeAdapter(wanted).validate_json(json.dumps(value, default=str), strict=True)
            except ValidationError:
                yield f"{path}.{option}: must be {describe(wanted)}, got {show(value)}"
                continue
            if name in catalogue.KINDS[kind] and (wrong := option_mistake(option, value)):
                yield f"{path}.{option}: {wrong}"
        elif not any_option or option in hidden:
            there = suggestion(option, valid) if valid else "; it has none"
            yield f"{path}.{option}: {name} has no such option (got {show(value)}){there}"


def placed(error: Exception, section: str, places: Mapping[str, str]) -> str:
    """Return the line of a mistake, with the place of its field, or else with its section.

    Args:
        error: Error that a constructor raised.
        section: Section of the job that it was made from.
        places: Name of a field -> its place in the job.
    """
    if isinstance(error, FieldError) and error.field in places:
        return f"{places[error.field]}: {error.text}"
    return f"{section}: {error}"


def show(value: Any) -> str:
    """Return a value as the file has it, shortened to fit a line."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _many(hint: Any) -> str:
    element = get_args(hint)[0 if len(get_args(hint)) == 1 or get_args(hint)[-1] is Ellipsis else -1]
    if get_origin(element) in (Union, types.UnionType):
        return " or ".join(_many(list[one]) for one in get_args(element))  # type: ignore[valid-type]
    plural = {int: "whole numbers", float: "numbers", str: "text", bool: "true or false"}
    return plural.get(element) or ("lists" if get_origin(element) else "values")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _mistake(cls: type, detail: Any) -> tuple[Path, str]:
    """Return where and what one finding of pydantic is."""
    path = _without_alternatives(cls, tuple(str(part) for part in detail["loc"]))
    kind, value = detail["type"], detail["input"]
    if kind == "value_error":
        return _range_mistake(cls, path, detail["ctx"]["error"])
    hint = type_at(cls, path)
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        valid = field_types(_owner(cls, path[:-1]))
        return path, f"{'.'.join(path)}: unknown field (got {show(value)}){suggestion(path[-1], valid)}"
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return path, f"{'.'.join(path)}: missing; must be {describe(hint)}"
    allowed = "a finite number" if kind == "finite_number" else describe(hint)
    return path, f"{'.'.join(path)}: must be {allowed}, got {show(value)}"


def _without_alternatives(cls: type, path: Path) -> Path:
    """Return a path up to the field whose type is a choice of plain ones; pydantic appends the one it tried."""
    for length in range(1, len(path)):
        alternatives = [one for one in _alternatives(type_at(cls, path[:length])) if one is not type(None)]
        if len(alternatives) > 1 and not any(is_dataclass(one) for one in alternatives):
            return path[:length]
    return path


def _owner(cls: type, path: Path) -> type:
    """Return the dataclass that a path leads to."""
    found = section(type_at(cls, path))
    assert found is not None
    return found


def _range_mistake(cls: type, path: Path, error: Exception) -> tuple[Path, str]:
    """Return a mistake that a dataclass found by itself: at the field that it names, or else at the section.

    A field of a section inside is named with it, such as `tickets.prune_step`.
    """
    if isinstance(error, FieldError) and error.field.partition(".")[0] in field_types(_owner(cls, path)):
        path = (*path, *error.field.split("."))
        text = re.sub(r"got (None|True|False)$", lambda got: f"got {_YAML[got[1]]}", error.text)
    else:
        text = str(error)
    return path, f"{'.'.join(path)}: {text}" if path else text


def _take_out(cls: type, data: dict[str, Any], path: Path, placeholders: Mapping[str, Any]) -> bool:
    """Remove the field that a mistake lies in, or put a placeholder there; return whether that changed anything."""
    owner: Any = cls
    for depth, name in enumerate(path):
        hint = field_types(owner).get(name)
        inside, held = section(hint), data.get(name)
        if inside is not None and isinstance(held, dict) and path[depth + 1 :] and path[depth + 1] in held:
            owner, data = inside, held
            continue
        if isinstance(data.get(name), dict) and path[depth + 1 :] and path[depth + 1] in data[name]:
            del data[name][path[depth + 1]]  # one entry of a field with free names
            return True
        before = dict(data)
        data.pop(name, None)
        if depth == 0 and name in placeholders:
            data[name] = placeholders[name]
        return data != before
    return False
