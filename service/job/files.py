"""Job files as plain data: YAML or JSON text, changed by ``path=value`` settings.

YAML here is the ordinary one with two repairs: ``1e-3`` is a number, and a key given twice is a mistake.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from service import own_code
from service.catalogue import recipes, suggestion
from service.job import places
from service.job.inside import holds_job
from service.job.tracking import without_password

_EARLIER_NAMES = {("search", "calibration_images"): "calibration_examples"}
_LIMIT = re.compile(r"(?P<path>search\.constraints\.[^=<>≤≥]+?)\s*(?P<operator><=|>=|≤|≥)\s*(?P<rest>[^=<>].*)")
JOB_FILES = (".yaml", ".yml", ".json")


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses a key that is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {  # every other resolver stays; numbers such as 1e-3 are tried first
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_NUMBER = re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$")
for _first in "-+.0123456789":
    _Loader.yaml_implicit_resolvers.setdefault(_first, []).insert(0, ("tag:yaml.org,2002:float", _NUMBER))


def parse_yaml(text: str, source: str) -> Any:
    """Return the content of YAML text.

    Raises:
        ValueError: It is not YAML, or names a key twice; the message has the source and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader: builds plain data only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        number = mark.line if mark else 0
        lines = text.splitlines()
        line = lines[number].strip() if number < len(lines) else ""
        problem = error.problem
        if re.search(r":\s*>", line):
            problem = 'a value that starts with ">" needs quotes'
        elif "\\t" in str(problem):
            problem = "a tab cannot indent; use spaces"
        raise ValueError(f"{source}, line {number + 1}: {problem}: {line!r}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: not readable as YAML: {str(error).splitlines()[0]}") from error


def parse_json(text: str, source: str) -> Any:
    """Return the content of JSON text.

    Raises:
        ValueError: It is not JSON, or names a key twice; the message has the source and the line.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        raise ValueError(f"{source}, line {error.lineno}: {error.msg}") from error
    except _GivenTwice as error:
        raise ValueError(f"{source}: {error}") from error


class _GivenTwice(ValueError):
    """A key that occurs twice in one JSON object."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise _GivenTwice(f"{name} is given twice")
    return dict(pairs)


def job_file(source: str | Path) -> Path:
    """Return the file that holds a job: a recipe by its name, a file itself, or the `job.json` of a folder.

    Raises:
        ValueError: There is no such file.
    """
    path, known = Path(source), recipes()
    if str(source) in known:
        return known[str(source)]
    if path.is_dir():
        if holds_job(path):
            return path / "job.json"
        raise ValueError(f"{path}: this folder holds no job.json, so it is not a job; {_recipe_hint(path.name)}")
    if path.suffix.lower() in JOB_FILES:
        return path
    if path.exists():
        raise ValueError(f"{path}: must be a recipe, a {', '.join(JOB_FILES)} file or a job folder")
    raise ValueError(f"{str(source)!r} is not a recipe, job file or job folder{suggestion(str(source), known)}")


def read_fields(path: Path) -> dict[str, Any]:
    """Return the fields of a job file; a `job.json` of a job folder gives the job in it.

    Relative paths in it become whole paths, see `service.job.places`.
    The user's own code beside the file can be imported from then on, or the code that the job folder records.

    Raises:
        ValueError: The file cannot be read, or is not a mapping of fields.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file, byte {error.start} is no UTF-8") from error
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    content = parse_json(text, str(path)) if path.suffix.lower() == ".json" else parse_yaml(text, str(path))
    own_code.make_importable(*own_code.recorded_in(content), *_own_folder(path))
    moved = None
    if isinstance(content, dict) and isinstance(content.get("job"), dict):
        moved, content = content.get(places.BESIDE), without_password(content["job"])
    if not isinstance(content, dict):
        kind = "is empty" if content is None else f"holds {type(content).__name__}"
        raise ValueError(f"{path}: {kind}; a job is a mapping of fields such as `name: first` and `space: …`")
    fields = with_todays_names({str(name): value for name, value in content.items()})
    return places.placed(fields, path.parent, moved if isinstance(moved, dict) else None)


def _own_folder(path: Path) -> list[Path]:
    """Return the folder of a job file, for code beside it; a job folder may come from someone else and holds none."""
    return [] if path in recipes().values() or path.name == "job.json" else [path.parent]


def with_todays_names(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a job with today's names, where an earlier version called them otherwise."""
    for (section, earlier), today in _EARLIER_NAMES.items():
        inside = fields.get(section)
        if isinstance(inside, dict) and earlier in inside and today not in inside:
            fields[section] = {today if name == earlier else name: value for name, value in inside.items()}
    return fields


def split_setting(setting: str) -> tuple[tuple[str, ...], Any]:
    """Return path and value of ``a.b=value``; the value is read as YAML, a comparison such as ``>= 60`` as text.

    Raises:
        ValueError: The text is not of that form.
    """
    if limit := _LIMIT.fullmatch(setting):  # people easily forget the second =
        dotted, equals, text = limit["path"], "=", f"{limit['operator']} {limit['rest']}"
    else:
        dotted, equals, text = setting.partition("=")
    path = tuple(part.strip() for part in dotted.split("."))
    if not equals or not all(path) or re.search(r"[<>]\s*$", dotted):
        raise ValueError(f"--set {setting!r}: must be path=value, for example {_right_form(setting)}")
    if text.lstrip().startswith((">", "<")):
        return path, text.strip()
    return path, parse_yaml(text, f"--set {setting!r}")


def _right_form(setting: str) -> str:
    """Return a setting as it is to be written, quoted for the shell where it is a limit."""
    compared = re.fullmatch(r"(?:search\.constraints\.)?([^<>=\s]+)\s*([<>]?)=?\s*([^<>=]*)", setting)
    if compared is None or not (compared[2] or setting.startswith("search.constraints.")):
        return "--set train.epochs=5"
    return f"--set 'search.constraints.{compared[1].strip()}={compared[2] or '<'}= {compared[3] or 3}'"


def with_setting(fields: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """Return a copy of nested mappings in which the entry at `path` is `value`; mappings on the way are made."""
    first, *rest = path
    if not rest:
        return {**fields, first: value}
    below = fields.get(first)
    return {**fields, first: with_setting(below if isinstance(below, Mapping) else {}, rest, value)}


def _recipe_hint(name: str) -> str:
    known: Mapping[str, Path] = recipes()
    return f"recipes: {', '.join(known)}" if name not in known else f"the recipe: nas run {name}"
