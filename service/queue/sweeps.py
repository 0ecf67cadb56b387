"""Sweeps: a job file and fields with several values; each combination is a job of one array."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from service import catalogue
from service.errors import InvalidJob
from service.job.files import split_setting, with_setting
from service.queue.executors.executor import Ticket
from service.queue.queue import Draft
from service.queue.submission import NAME, Checker, readable
from service.run.stages.plan import whole_job


def jobs(fields: Mapping[str, Any], sets: Sequence[str], sweeps: Sequence[str], ticket: Ticket) -> list[Draft]:
    """Return a job for each combination of values.

    Args:
        fields: Fields of the job.
        sets: ``path=value`` for every job.
        sweeps: ``path=value,value,…``; several are combined, each value with each.
        ticket: Common ticket of all of them; an empty name stands for that of the job.

    Raises:
        InvalidJob: There are mistakes; it lists those of all jobs, each once.
    """
    from service.job.checks import require_supernet_space

    check, found, mistakes = Checker(), list[Draft](), dict[str, None]()
    for number, settings in enumerate(combinations(sweeps)):
        try:
            job = check.job(fields, [*sets, *settings])
            if not found:
                require_supernet_space(job)
        except InvalidJob as error:
            mistakes |= dict.fromkeys(error.mistakes)
            continue
        job = replace(job, name=_swept_name(ticket.name or job.name, settings))
        found.append(Draft(key=f"{number}/", ticket=replace(ticket, name=job.name, stages=whole_job()), job=job))
    if mistakes:
        raise InvalidJob(list(mistakes))
    return found


def calls(fields: Mapping[str, Any], sets: Sequence[str], sweeps: Sequence[str], ticket: Ticket) -> list[Draft]:
    """Return the same for a file that names an installed function: `call`, and `arguments` to sweep over.

    Raises:
        InvalidJob: The function can't be imported, or something else is set.
    """
    unknown = [name for name in fields if name not in ("name", "call", "arguments")]
    if unknown:
        raise InvalidJob([f"{name}: a job with `call` has name, call and arguments only" for name in unknown])
    try:
        catalogue.check_target(str(fields["call"]))
    except ValueError as error:
        raise InvalidJob([f"call: {error}"]) from error
    found = []
    for number, settings in enumerate(combinations(sweeps)):
        content: Mapping[str, Any] = fields
        for setting in (*sets, *settings):
            path, value = readable(split_setting, setting)
            if path[0] not in ("name", "arguments"):
                raise InvalidJob([f"--set {setting!r}: a job with `call` has name and arguments.… only"])
            content = with_setting(content, path, value)
        name = ticket.name or str(content.get("name") or "call")
        name = _swept_name(name, settings)
        if not NAME.fullmatch(name):
            raise InvalidJob([f"name: must be letters, digits, '.', '_' and '-', got {name!r}"])
        arguments = dict(content.get("arguments") or {})
        own = replace(ticket, name=name, call=str(content["call"]), arguments=arguments)
        found.append(Draft(key=f"{number}/", ticket=own))
    return found


def combinations(sweeps: Sequence[str]) -> list[list[str]]:
    """Return settings for each job of a sweep, the last field fastest; one job without settings where nothing is swept.

    Raises:
        InvalidJob: A sweep is not of the form ``path=value,value,…``.
    """
    axes = []
    for sweep in sweeps:
        path, equals, text = sweep.partition("=")
        values = text.split(",") if text.lstrip().startswith(("<", ">")) else _listed(sweep, text)
        if not equals or not path.strip() or not values:
            raise InvalidJob([f"--sweep {sweep!r}: must be path=value,value,…, for example --sweep seed=1,2,3"])
        axes.append([f"{path.strip()}={value.strip()}" for value in values])
    return [list(chosen) for chosen in itertools.product(*axes)]


def _listed(sweep: str, text: str) -> list[str]:
    """Return the texts between commas, where lists and mappings in brackets stay whole."""
    parts, depth, start = [], 0, 0
    for position, letter in enumerate(text):
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    if any(not part.strip() for part in parts):
        raise InvalidJob([f"--sweep {sweep!r}: a value is missing; must be path=value,value,…"])
    return parts


def _swept_name(name: str, settings: Sequence[str]) -> str:
    """Return the name of one job of a sweep, told from the others by its values."""
    for setting in settings:
        path, _, value = setting.partition("=")
        short = re.sub(r"[^A-Za-z0-9._]+", "_", f"{path.rpartition('.')[2]}{value}").strip("_")
        name = f"{name}-{short}"
    return name[:100]
