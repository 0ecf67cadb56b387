"""The work of `nas score` and `nas benchmark proxies`: a job from options, and the scores."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.scoring import Scored
from search_spaces import Architecture, Space
from service.errors import InvalidJob
from service.job.building import build_space
from service.job.files import job_file, read_fields
from service.job.job import Job
from service.job.loading import job_of
from service.job.observer import Observer
from service.run import scoring

_FROM_SOURCE = ("space", "data", "task", "proxies", "seed", "device")
SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Request:
    """The request of a command line to score architectures.

    Attributes:
        source: Job whose space, data, task and seed are used, if any.
        space: Name of the space.
        proxies: Names, joined by commas.
        data: File or folder of images.
        sets: Settings ``path=value`` of the job.
    """

    source: str | None = None
    space: str | None = None
    proxies: str | None = None
    data: Path | None = None
    sets: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of scoring.

    Attributes:
        job: Job whose space, data and seed were used.
        rows: The architectures.
        known: Scores of the architectures.
        columns: Scores [rows] by name, aggregates included.
        seconds: Seconds of this run.
        fresh: Architectures scored by networks in this run; the others were remembered, or needed none.
        counted: Whether the space counted everything, without networks and data.
    """

    job: Job
    rows: scoring.Rows
    known: Mapping[Architecture, Scored]
    columns: Mapping[str, np.ndarray]
    seconds: float
    fresh: int
    counted: bool


def requested_job(request: Request) -> Job:
    """Return the job that a request describes, with random images where it names no data.

    Raises:
        InvalidJob: There are mistakes; it lists all of them at once.
    """
    try:
        given = read_fields(job_file(request.source)) if request.source else {}
    except ValueError as error:
        raise InvalidJob([str(error)]) from error
    fields: dict[str, Any] = {"name": "score", **{name: given[name] for name in _FROM_SOURCE if name in given}}
    fields.setdefault("data", {"source": "noise"})
    if request.space:
        fields["space"] = {"name": request.space}
    elif "space" not in fields:
        raise InvalidJob(["--space: must be given unless a job is named; see: nas list space"])
    if request.data:
        fields["data"] = data_fields(request.data)
    if request.proxies:
        names = [name.strip() for name in request.proxies.split(",") if name.strip()]
        fields["proxies"] = {**fields.get("proxies", {}), "names": names}
    job = job_of(fields, request.sets)
    if not job.proxies.names:
        raise InvalidJob(["--proxy: must name at least one proxy; see: nas list proxy"])
    return job


def chosen_rows(space: Space, archs: Path | None, sample: int | None, every: bool, seed: int) -> scoring.Rows:
    """Return the architectures that the options ask for.

    Raises:
        InvalidJob: Not exactly one of the options is given, or it cannot be used.
    """
    given = [archs is not None, sample is not None, every]
    if sum(given) != 1:
        raise InvalidJob([f"give exactly one of --archs FILE, --sample N and --all, got {sum(given)} of them"])
    if archs is not None:
        return scoring.rows_of_table(archs, space)
    return scoring.rows_of_sample(space, sample, seed) if sample is not None else scoring.rows_of_all(space)


def check_output(output: Path) -> None:
    """Refuse a place that cannot be written, before any work.

    Raises:
        InvalidJob: It cannot be written; the message says why.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise InvalidJob([f"--output: must end in {' or '.join(SUFFIXES)}, got {output}"])
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.with_name(f".{output.name}.writing").open("w"):
            pass
        output.with_name(f".{output.name}.writing").unlink()
    except OSError as error:
        raise InvalidJob([f"--output: cannot write {output}: {error.strerror or error}"]) from error


def perform(
    job: Job, rows: scoring.Rows, output: Path, observer: Observer, *, workers: int, layers: bool = False
) -> Outcome:
    """Score the rows and write the table."""
    journal = journal_file(output)
    before = _lines(journal)
    start = time.perf_counter()
    known = scoring.score_rows(job, rows, journal, observer, workers=workers, layers=layers)
    seconds = time.perf_counter() - start
    columns = scoring.score_columns(job, rows, known)
    scoring.write_table(output, rows, known, columns)
    counted = not layers and scoring.needs_no_network(job)
    fresh = 0 if counted else len(known) - max(0, before - 1)
    return Outcome(job=job, rows=rows, known=known, columns=columns, seconds=seconds, fresh=fresh, counted=counted)


def journal_file(output: Path) -> Path:
    """Return where scores are remembered while the table is not written yet."""
    return output.with_name(output.name + ".journal.jsonl")


def job_and_space(request: Request) -> tuple[Job, Space]:
    """Return the checked job and its space."""
    job = requested_job(request)
    return job, build_space(job)


def data_fields(path: Path) -> dict[str, str]:
    """Return the `data` of a job for a file or a folder; a folder without npz files is one of images."""
    is_image_folder = path.is_dir() and not list(path.glob("*.npz"))
    return {"source": "folder" if is_image_folder else "npz", "path": str(path)}


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
