"""Scoring many architectures without training: their choice, the processes, the journal and the output."""

import csv
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from nas.benchmarks.published_tables import Table
from nas.data import Data
from nas.scoring import Scored, Scorer, as_evaluation, as_scored, counted_proxies, counted_scores
from nas.search.journal import Journal
from search_spaces import Architecture, Space
from service.errors import InvalidJob
from service.job import proxies as job_proxies
from service.job.building import build_space, build_task, data_source
from service.job.device import torch_device
from service.job.job import Job
from service.job.observer import Observer
from service.run import worker_processes
from supernets.device import send

_ENUMERABLE = 2_000_000
_SYNC_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Architectures to score, with columns of the user's table.

    Attributes:
        architectures: One per row; several rows may have the same architecture.
        carried: Columns of the user's table, kept in the output.
    """

    architectures: list[Architecture]
    carried: dict[str, list[str]]


# ---- which architectures ------------------------------------------------------------------------------------------


def rows_of_table(path: Path, space: Space) -> Rows:
    """Return every row of a csv (or csv.gz) that names architectures.

    Raises:
        InvalidJob: The file cannot be read, or a row is not an architecture of the space; the message says which.
    """
    try:
        table = Table.read(path, space)
    except OSError as error:
        raise InvalidJob([f"--archs: {path}: {error.strerror or error}"]) from error
    except ValueError as error:
        raise InvalidJob([f"--archs: {error}"]) from error
    return Rows(architectures=table.architectures, carried={name: list(cells) for name, cells in table.cells.items()})


def rows_of_sample(space: Space, n: int, seed: int) -> Rows:
    """Draw `n` distinct random architectures, fewer where the space has fewer."""
    generator = np.random.default_rng(seed)
    found: dict[Architecture, None] = {}
    for _ in range(50):
        drawn = space.sample_encodings(n, generator)
        found |= dict.fromkeys(space.decode(encoding) for encoding in drawn)
        if len(found) >= n:
            break
    return Rows(architectures=list(found)[:n], carried={})


def rows_of_all(space: Space) -> Rows:
    """Return every architecture of the space.

    Raises:
        InvalidJob: There are too many.
    """
    combinations = float(np.prod(space.choice_counts.astype(float)))
    if combinations > _ENUMERABLE:
        raise InvalidJob(
            [f"--all: {space.name} has {space.count():,} architectures, too many to list; use --sample or --archs"]
        )
    encodings = np.stack(np.unravel_index(np.arange(int(combinations)), tuple(space.choice_counts)), axis=1)
    distinct = np.unique(space.canonical(encodings), axis=0)
    return Rows(architectures=[space.decode(encoding) for encoding in distinct], carried={})


# ---- scoring ------------------------------------------------------------------------------------------------------


def score_rows(
    job: Job, rows: Rows, journal_path: Path, observer: Observer, *, workers: int = 0, layers: bool = False
) -> dict[Architecture, Scored]:
    """Return scores of all rows; those that the journal knows are not computed again.

    Where the space counts everything that is asked for, networks, data and journal are not needed.

    Args:
        job: Job with space, data, proxies, seed and device.
        rows: Rows to score.
        journal_path: Scores are appended to it as they come.
        observer: Receives the progress.
        workers: Processes; 0 for one per core on CPU, and one on CUDA.
        layers: Whether the shares of layers are kept, too, in a file beside the journal.

    Raises:
        InvalidJob: The journal is of other scores.
    """
    distinct = list(dict.fromkeys(rows.architectures))
    if not layers and needs_no_network(job):
        return _counted(job, distinct)
    ready, fingerprint = scorer_of(job, layers=layers)
    journal = _opened(journal_path, job, rows, fingerprint)
    known = {evaluation.architecture: as_scored(evaluation) for evaluation in journal.evaluations}
    places = {architecture: i for i, architecture in reversed(list(enumerate(rows.architectures)))}
    missing = [architecture for architecture in distinct if architecture not in known]
    synced = time.monotonic()
    observer({"event": "score", "done": len(known), "total": len(distinct)})
    with closing(journal), _shares(journal_path) if layers else nullcontext() as shares:
        for architecture, scored in _computed(ready, missing, _processes(job, workers, len(missing))):
            if shares is not None:
                shares.write(json.dumps({"index": places[architecture], "layers": scored.layers}) + "\n")
                shares.flush()
            journal.append(as_evaluation(places[architecture], architecture, scored))
            known[architecture] = replace(scored, layers={})
            if time.monotonic() - synced > _SYNC_EVERY_S:
                journal.sync()
                synced = time.monotonic()
            observer({"event": "score", "done": len(known), "total": len(distinct)})
    return known


def needs_no_network(job: Job) -> bool:
    """Return whether the space of a job counts all that its proxies are asked for."""
    space = build_space(job)
    proxies = job_proxies.make_all(job.proxies.names, job.proxies.options, space.cost_names)
    return len(counted_proxies(proxies, space)) == len(proxies)


def _counted(job: Job, architectures: Sequence[Architecture]) -> dict[Architecture, Scored]:
    """Return what the space counts of distinct architectures, all at once."""
    start = time.perf_counter()
    space = build_space(job)
    proxies = job_proxies.make_all(job.proxies.names, job.proxies.options, space.cost_names)
    columns = counted_scores(counted_proxies(proxies, space), space, architectures)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    seconds = (time.perf_counter() - start) / max(1, len(architectures))
    return {
        architecture: Scored(values=dict(zip(columns, row)), reasons={}, layers={}, seconds=seconds)
        for architecture, row in zip(architectures, rows, strict=True)
    }


def _opened(path: Path, job: Job, rows: Rows, fingerprint: str) -> Journal:
    """Open the journal of these scores, with what it remembers.

    Raises:
        InvalidJob: It is of other scores.
    """
    proxies = {"names": job_proxies.plain_names(job.proxies.names), "options": job.proxies.options}
    space = {
        name: value for name, value in asdict(job.space).items() if value is not None
    }  # as before it had the field
    header = {"space": space, "proxies": proxies, "data": fingerprint, "batch": job.proxies.batch}
    header |= {"seed": job.seed, "architectures": _digest(rows.architectures)}
    try:
        return Journal(path, header)
    except ValueError as error:
        raise InvalidJob([f"--output: {error}; give another --output"]) from error


def _shares(journal_path: Path) -> TextIO:
    """Open the file that shares of layers are added to."""
    return layer_file(journal_path).open("a", encoding="utf-8")


def scorer_of(job: Job, *, layers: bool = False) -> tuple[Callable[[], Scorer], str]:
    """Return what makes the scorer of a job, in this process or another, and the fingerprint of its data."""
    data = data_source(job.data).load(torch.device("cpu"))
    names = job_proxies.plain_names(job.proxies.names)
    return partial(make_scorer, job, names, training_batch(data, job), layers=layers), data.fingerprint


def training_batch(data: Data, job: Job) -> tuple[torch.Tensor, ...]:
    """Return the training examples that all architectures are scored on.

    Raises:
        InvalidJob: There are too few.
    """
    batch = job.proxies.batch
    if batch > len(data.train):
        raise InvalidJob([f"proxies.batch: must be at most {len(data.train)}, the training examples, got {batch}"])
    return next(iter(data.train.subset(batch, seed=job.seed).sequential(batch)))


def make_scorer(job: Job, names: Sequence[str], batch: tuple[torch.Tensor, ...], *, layers: bool = False) -> Scorer:
    """Return what scores the space of a job by these proxies."""
    device, space = torch_device(job.device), build_space(job)
    return Scorer(
        space=space,
        proxies=job_proxies.make_all(names, job.proxies.options, space.cost_names),
        task=build_task(job),
        batch=tuple(send(tensor, device) for tensor in batch),
        seed=job.seed,
        layers=layers,
    )


def layer_file(journal_path: Path) -> Path:
    """Return where the shares of layers lie, beside the journal."""
    return journal_path.with_name(journal_path.name.removesuffix(".jsonl") + ".layers.jsonl")


def _digest(architectures: Iterable[Architecture]) -> str:
    return hashlib.sha256("".join(a.key for a in architectures).encode()).hexdigest()[:16]


def _processes(job: Job, workers: int, missing: int) -> int:
    most = 1 if torch_device(job.device).type == "cuda" else worker_processes.cores()
    return max(1, min(workers or most, missing // 2))


def _computed(
    ready: Callable[[], Scorer], architectures: Sequence[Architecture], workers: int
) -> Iterator[tuple[Architecture, Scored]]:
    """Yield scores in the order in which they are done.

    Raises:
        InvalidJob: A process ended early.
    """
    threads = max(1, torch.get_num_threads() // workers)
    try:
        yield from worker_processes.computed(ready, architectures, workers=workers, threads=threads)
    except worker_processes.WorkerEnded as error:
        raise InvalidJob(
            [f"a scoring process ended (exit code {error.exit_code}); {worker_processes.AGAIN}"]
        ) from error


# ---- the table ----------------------------------------------------------------------------------------------------


def score_columns(job: Job, rows: Rows, known: Mapping[Architecture, Scored]) -> dict[str, np.ndarray]:
    """Return scores [rows] by name, NaN where there is none; aggregates rank over all rows."""
    proxies = job_proxies.make_all(job.proxies.names, job.proxies.options, build_space(job).cost_names)
    columns = {
        name: np.array([known[a].values.get(name, np.nan) for a in rows.architectures], dtype=float) for name in proxies
    }
    return job_proxies.with_aggregates(job.proxies.names, columns, proxies)


def write_table(path: Path, rows: Rows, known: Mapping[Architecture, Scored], scores: Mapping[str, np.ndarray]) -> None:
    """Write the table: the user's columns, then architecture, key, scores, seconds and reasons; csv or parquet."""
    columns: dict[str, Sequence[Any]] = dict(rows.carried)
    if "architecture" not in columns:
        columns["architecture"] = [json.dumps(a.to_json()) for a in rows.architectures]
    columns["key"] = [a.key for a in rows.architectures]
    for name, values in scores.items():
        columns[name if name not in rows.carried else f"{name}_score"] = [
            None if np.isnan(value) else float(value) for value in values
        ]
    columns["score_seconds"] = [known[a].seconds for a in rows.architectures]
    columns["score_reason"] = ["; ".join(known[a].reasons.values()) or None for a in rows.architectures]
    temporary = path.with_name(f".{path.name}.writing")
    if path.suffix.lower() == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({name: list(values) for name, values in columns.items()}), temporary)
    else:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    temporary.replace(path)
