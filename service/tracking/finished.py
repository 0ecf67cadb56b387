"""Runs in MLflow of finished work, such as a benchmark or one of its searchers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from service.job.tracking import EXPERIMENT, TrackingConfig
from service.tracking.connection import (
    add_missing,
    add_points,
    connect,
    delete_doubles,
    error_line,
    experiment_of,
    tagged_runs,
)
from service.tracking.format import source_tags
from service.tracking.place import place_of
from service.tracking.sync import SyncResult


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A finished piece of work to be logged.

    Args:
        name: Name of the run.
        identity: Tags by which the run is found again, so that it is never there twice.
        params: Settings.
        metrics: Final numbers; those that are not finite are left out.
        tags: More tags, as MLflow has them.
        curves: Metric -> steps and values.
        files: Uploaded as artifacts.
    """

    name: str
    identity: Mapping[str, str]
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    files: Sequence[Path] = ()


def identity_of(kind: str, folder: Path, params: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of a run of a benchmark: the same for equal settings in one folder, so that it is logged once."""
    content = json.dumps([str(folder.resolve()), params], default=str, sort_keys=True)
    return {"nas.kind": kind, "nas.benchmark": sha256(content.encode()).hexdigest()[:32]}


def log_finished(runs: Iterable[FinishedRun], config: TrackingConfig, *, experiment: str = EXPERIMENT) -> SyncResult:
    """Bring MLflow up to date with finished runs; a repeated call adds only what is not there yet.

    Args:
        runs: Finished runs.
        config: Config where to log.
        experiment: Experiment for a configuration and an environment that name none.

    Returns:
        What was done, or the reason why MLflow cannot be used. `members` are the runs by their names.
    """
    place = place_of(config, experiment)
    uri, name = place.uri, place.experiment
    if not place.enabled:
        return SyncResult(uri=uri, experiment=name)
    try:
        client = connect(uri)
        found = experiment_of(client, name, uri)
        logged = {run.name: _log(client, found, run) for run in runs}
    except Exception as error:  # servers, drivers and proxies may raise anything: a mirror must not end the work
        return SyncResult(uri=uri, experiment=name, error=error_line(error))
    return SyncResult(uri=uri, experiment=name, synced=True, experiment_id=found.experiment_id, members=logged)


def _log(client: Any, experiment: Any, run: FinishedRun) -> str:
    """Log one run and return its id."""
    there = tagged_runs(client, experiment, run.identity)
    tags = {**source_tags(), **run.tags, **run.identity}
    made = there[0] if there else client.create_run(experiment.experiment_id, tags=tags, run_name=run.name)
    run_id, time_ms = made.info.run_id, made.info.start_time
    add_missing(client, made, time_ms=time_ms, metrics=run.metrics, params=run.params, tags=tags)
    curves = ((name, value, step, time_ms) for name, curve in run.curves.items() for step, value in curve)
    add_points(client, run_id, curves)
    for path in run.files:
        client.log_artifact(run_id, str(path))
    if made.info.status != "FINISHED":
        client.set_terminated(run_id)
        delete_doubles(client, tagged_runs(client, experiment, run.identity), {run_id: made})
    return run_id
