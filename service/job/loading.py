"""The way from a recipe, a file, a folder or plain fields to a checked job; all mistakes are reported at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nas.data import DataConfig
from service.catalogue import suggestion
from service.errors import InvalidJob
from service.job import places
from service.job.building import LookedAt, look_at
from service.job.checks import deep_mistakes
from service.job.files import job_file, read_fields, split_setting, with_setting
from service.job.found_weights import with_wanted_data
from service.job.given_data import on_other_data
from service.job.job import Job
from service.job.validation import check_fields, field_paths

PLACEHOLDERS: dict[str, Any] = {"name": "job", "space": {"name": "small_mobilenet_v3"}}
FREE_FORM = {
    *(("data", "options"), ("task", "options"), ("space", "options"), ("train", "sampler_options")),
    *(("search", "constraints"), ("search", "searcher_options"), ("search", "parts"), ("proxies", "options")),
}


def load_job(
    source: str | Path,
    sets: Sequence[str] = (),
    *,
    data: str | None = None,
    warn: Callable[[str], None] = lambda line: None,
) -> Job:
    """Read a job, apply ``path=value`` settings to it and check the whole.

    Args:
        source: Name of a recipe, a `.yaml`, `.yml` or `.json` file, or the folder of an earlier job.
        sets: Settings such as ``train.epochs=5``; values are YAML.
        data: Data on the command line that replace those of the job.
        warn: Receives a line for each thing that is allowed but probably not meant.

    Raises:
        InvalidJob: There are mistakes; it lists all of them at once.
    """
    try:
        fields = read_fields(job_file(source))
    except ValueError as error:
        raise InvalidJob([str(error)]) from error
    given = fields if data is None else on_other_data(fields, data)
    return job_of(given, sets, warn=warn, trained=_is_trained(Path(source)))


def _is_trained(folder: Path) -> bool:
    """Return whether the training of a job is over, so that it may have lost what it began with."""
    return any((folder / name).is_file() for name in ("supernet.safetensors", "front.json"))


def job_of(
    data: Mapping[str, Any],
    sets: Sequence[str] = (),
    *,
    look: Callable[[DataConfig], LookedAt] = look_at,
    warn: Callable[[str], None] = lambda line: None,
    trained: bool = False,
) -> Job:
    """Return the job with these fields, as nested mappings, and settings on top of them.

    Args:
        data: The fields.
        sets: Settings such as ``train.epochs=5``; values are YAML.
        look: Function that looks at the data; callers that check many jobs on the same data may remember its answer.
        warn: Receives a line for each thing that is allowed but probably not meant.
        trained: Whether its training is over: networks that it learned from or began with are not looked for again.

    Raises:
        InvalidJob: There are mistakes; it lists all of them at once.
    """
    data, mistakes = with_settings(data, sets)
    data = places.placed(data, Path())
    checked = check_fields(Job, data, PLACEHOLDERS)
    if checked.tree is not None and checked.sound("data") and checked.sound("space"):
        checked.tree = with_wanted_data(checked.tree)
    order = list(Job.__dataclass_fields__)
    found = [*checked.mistakes.values(), *places.mistakes(data), *deep_mistakes(checked, look, warn, trained=trained)]
    mistakes += sorted(found, key=lambda line: _place(line, order))
    if mistakes or checked.tree is None:
        raise InvalidJob(mistakes)
    return checked.tree


def with_settings(data: Mapping[str, Any], sets: Sequence[str]) -> tuple[Mapping[str, Any], list[str]]:
    """Return the fields with settings on top of them, and what is wrong with the settings.

    A space that replaces another one does not take over its options.
    """
    mistakes: list[str] = []
    for setting in sorted(sets, key=lambda setting: not setting.startswith("space.name=")):
        try:
            path, value = split_setting(setting)
            if path == ("space", "name") and isinstance(given := data.get("space"), Mapping):
                data = with_setting(data, ("space",), _replaced(given, value))
            if path[:2] in FREE_FORM and len(path) > 3:  # a key that has dots of its own, such as package.module:object
                last = path[-1:] if path[0] == "proxies" else ()  # the option of a proxy
                path = (*path[:2], ".".join(path[2 : len(path) - len(last)]), *last)
            _check_path(setting, path)
            data = with_setting(data, path, value)
        except ValueError as error:
            mistakes.append(str(error))
    return data, mistakes


def _replaced(space: Mapping[str, Any], name: Any) -> dict[str, Any]:
    """Return the section of a space whose place another one takes: options are those of a space, bits of any."""
    return {field: value for field, value in space.items() if field != "options" or space.get("name") == name}


def _place(line: str, order: Sequence[str]) -> int:
    """Return where in a job file a mistake lies, so that mistakes are told from top to bottom."""
    section = re.split(r"[.:]", line)[0]
    return order.index(section) if section in order else -1


def _check_path(setting: str, path: tuple[str, ...]) -> None:
    """Refuse a setting that names no field, nor an entry of a field with free names."""
    valid = [known for known, _ in field_paths(Job)]
    if path[:2] in FREE_FORM or any(known[: len(path)] == path for known in valid):
        return
    same_end = [".".join(known) for known in sorted(valid, key=len) if known[-1] == path[-1]]
    if same_end:
        whole = ".".join(path)
        meant = (get_close_matches(whole, same_end, n=1) if len(path) > 1 else []) or same_end
        raise ValueError(f"--set {setting!r}: no field {whole!r}; did you mean {' or '.join(meant)}?")
    for depth in range(len(path) - 1, 0, -1):  # the innermost section that exists
        names = dict.fromkeys(known[depth] for known in valid if len(known) > depth and known[:depth] == path[:depth])
        if names:
            where = ".".join(path[:depth])
            raise ValueError(f"--set {setting!r}: {where} has no field {path[depth]!r}{suggestion(path[depth], names)}")
    top = dict.fromkeys(known[0] for known in valid)
    raise ValueError(f"--set {setting!r}: no field {'.'.join(path)!r}{suggestion(path[0], top)}")
