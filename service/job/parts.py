"""The trained supernets that the networks of a joined space get their weights from."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from search_spaces import Space
from service.catalogue import suggestion
from service.errors import InvalidJob
from service.job.job import Job, SpaceConfig, TaskConfig
from service.job.preparation import saved_job, supernet_differences
from service.job.tickets import supernet_file


def mistakes(job: Job, space: Space | None, *, trained: bool = False) -> Iterator[str]:
    """Yield what is wrong with the folders that the parts of a space are taken from, one a line.

    Args:
        job: Job that names them.
        space: Its space, as far as it is known.
        trained: Whether the job has its supernet, so that they are not needed again.
    """
    named = job.search.parts
    if not named or space is None or trained:
        return
    if not space.parts:
        yield f"search.parts: must be left out, the space {job.space.name} has no parts"
        return
    for name in named:
        if name not in space.parts:
            yield f"search.parts.{name}: unknown part {name!r}{suggestion(name, space.parts)}"
    for name in space.parts:
        if name not in named:
            yield f"search.parts.{name}: missing; must be a job folder with a trained supernet, as every part needs one"
        else:
            yield from _of_folder(job, name, Path(named[name]))


def _of_folder(job: Job, name: str, folder: Path) -> Iterator[str]:
    """Yield why a folder does not hold a supernet for a part."""
    path = f"search.parts.{name}"
    if not supernet_file(str(folder)).is_file():
        yield f"{path}: must be a job folder with a trained supernet, there is no {supernet_file(str(folder))}"
        return
    try:
        there = saved_job(folder)
    except InvalidJob as error:
        yield f"{path}: {error}"
        return
    for line in supernet_differences(job_of_part(job, name), there):
        yield f"{path}: {folder} has other networks or data: {line}"


def job_of_part(job: Job, name: str) -> Job:
    """Return the job that trains the networks of one part by themselves, on the same data."""
    part: Mapping[str, Any] = (job.space.options.get("parts") or {}).get(name) or {}
    space = SpaceConfig(name=str(part.get("name", "")), options=dict(part.get("options") or {}))
    options = job.task.options
    task = TaskConfig(name=options.get("of"), options=dict(options.get("options") or {}))
    return replace(job, space=space, task=task)
