"""The jobs of one file: reading their fields, and checking many at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from service.errors import InvalidJob, warn
from service.job.files import job_file, read_fields
from service.job.validation import check_fields

if TYPE_CHECKING:
    from nas.data import DataConfig
    from service.job.building import LookedAt
    from service.job.job import Job

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def read_source(source: str) -> Mapping[str, Any]:
    """Return the fields of a recipe, a file or a job folder.

    Raises:
        InvalidJob: There is none, or it cannot be read.
    """
    return readable(lambda text: read_fields(job_file(text)), source)


def readable(read: Callable[[str], Any], text: str) -> Any:
    """Return what `read` makes of a text; a mistake in it is one of the job."""
    try:
        return read(text)
    except ValueError as error:
        raise InvalidJob([str(error)]) from error


class Checker:
    """A checker of many similar jobs: it looks at data once, and checks jobs that differ only in the seed once."""

    def __init__(self) -> None:
        self.data: dict[str, LookedAt] = {}
        self.known: dict[str, Job] = {}
        self.warned: set[str] = set()

    def job(self, fields: Mapping[str, Any], sets: Sequence[str]) -> "Job":
        """Return the checked job; its device is where it will run, which may be another machine."""
        from service.job.loading import job_of, with_settings

        data, mistakes = with_settings(fields, sets)
        if mistakes:
            raise InvalidJob(mistakes)
        device, seed = data.get("device", "auto"), data.get("seed", 0)
        if re.fullmatch(r"cuda:\d+", str(device)):
            raise InvalidJob([f"device: {device!r} can't be asked for in a queue, which chooses the GPU; use cuda"])
        unpinned = {**data, "device": "auto" if device == "cuda" else device}
        alike = repr({**unpinned, "seed": None})
        if alike not in self.known:
            self.known[alike] = job_of(unpinned, look=self._look, warn=self._warn)
        job = self.known[alike]
        if seed != job.seed or type(seed) is not int:
            shallow = check_fields(type(job), {"name": "job", "space": {"name": "any"}, "seed": seed}, {})
            if shallow.mistakes or shallow.tree is None:
                raise InvalidJob(list(shallow.mistakes.values()))
            job = replace(job, seed=shallow.tree.seed)
        return replace(job, device=device) if device == "cuda" else job

    def _warn(self, line: str) -> None:
        if line not in self.warned:
            self.warned.add(line)
            warn(line)

    def _look(self, config: "DataConfig") -> "LookedAt":
        from service.job.building import look_at

        data = repr(config)
        if data not in self.data:
            self.data[data] = look_at(config)
        return self.data[data]
