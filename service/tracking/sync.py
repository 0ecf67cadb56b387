"""Mirror of job folders in MLflow: where a job is logged, and how it is brought up to date.

A job is one summary run, and every member of its Pareto front one run of its own beside it. They are not nested,
because MLflow draws no charts for nested runs. The job folder stays the truth; `sync` may be called at any time, any
number of times, and adds only what the server does not have yet.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import InvalidJob
from service.job.folder import read_object, write_json
from service.job.tracking import TrackingConfig
from service.tracking.place import Place, place_of_job

_REMEMBERED = ("run_id", "offset", "steps")


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """The result of one `sync`.

    Args:
        uri: The store that was written.
        experiment: Name of the experiment.
        synced: Whether the whole job, now over, is in MLflow.
        error: One line that says why something was not logged.
        experiment_id: Experiment id of the experiment, None where it was not reached.
        run_id: Run id of the summary run, None where it was not reached.
        members: Key of every logged member of the front -> its run.
        is_damaged: Whether the error is one of the folder, not of the store.
    """

    uri: str
    experiment: str
    synced: bool = False
    error: str | None = None
    experiment_id: str | None = None
    run_id: str | None = None
    members: dict[str, str] = field(default_factory=dict)
    is_damaged: bool = False


def sync(folder: Path, config: TrackingConfig | None = None, *, final: bool, uri: str | None = None) -> SyncResult:
    """Bring MLflow up to date with a job folder.

    Args:
        folder: The job folder.
        config: Where to log; by default as the job says. Without a `uri` the store of the job is used.
        final: Whether no process works on the job any more. A job without a result is then logged as killed.
        uri: Store to use instead of that of the job.

    Returns:
        What was done. If MLflow is missing, away or read-only, this is an `error` there and never an exception: a later
        call brings the mirror up to date. `tracking.json` in the job folder says the same.

    Raises:
        FileNotFoundError: The folder holds no job.
    """
    folder = Path(folder)
    place = place_of_job(folder, config, uri=uri)
    if not place.enabled:
        return SyncResult(uri=place.uri, experiment=place.experiment)
    known = read_object(folder / "tracking.json")
    known = {name: known[name] for name in _REMEMBERED if name in known}
    result, known = _mirrored(folder, place, known, final=final)
    status: dict[str, Any] = {"uri": place.uri, "experiment": place.experiment, "experiment_id": result.experiment_id}
    status |= {"synced": result.synced, "error": result.error}
    write_json(folder / "tracking.json", {**status, **known})
    return result


def _mirrored(folder: Path, place: Place, known: dict[str, Any], *, final: bool) -> tuple[SyncResult, dict[str, Any]]:
    """Log what a store does not have yet; what was done, and what to remember for the next time."""
    from service.tracking.connection import connect, error_line, experiment_of
    from service.tracking.job_runs import JobMirror

    uri, name = place.uri, place.experiment
    try:
        client = connect(uri)
        mirror = JobMirror(client=client, folder=folder, experiment=experiment_of(client, name, uri))
        known, members = mirror.bring_up_to_date(known, final=final)
    except Exception as error:  # whatever a server, a driver or a proxy raises: a mirror must not end the job
        damaged = isinstance(error, InvalidJob)
        return SyncResult(uri=uri, experiment=name, error=error_line(error), is_damaged=damaged), known
    result = SyncResult(
        uri=uri,
        experiment=name,
        synced=mirror.over(final),
        experiment_id=mirror.experiment.experiment_id,
        run_id=known["run_id"],
        members=members,
    )
    return result, known


def catch_up(jobs: Path, uri: str) -> list[Path]:
    """Log jobs that nobody works on and that a store does not have whole: they were killed, or ran while it was away.

    Args:
        jobs: The folder of job folders.
        uri: Only jobs that are logged in this store are looked at.

    Returns:
        The folders that are logged now.
    """
    waiting = [folder for folder in sorted(path.parent for path in jobs.glob("*/job.json")) if _lacks(folder, uri)]
    if not waiting:
        return []
    from service.job.preparation import locked

    logged = []
    for folder in waiting:
        with suppress(InvalidJob, OSError), locked(folder):  # in use, or not writable
            if sync(folder, final=True).synced:
                logged.append(folder)
    return logged


def _lacks(folder: Path, uri: str) -> bool:
    """Return whether a job belongs in this store and is not logged there yet; a damaged folder is left out."""
    try:
        place = place_of_job(folder)
        known = read_object(folder / "tracking.json")
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return place.enabled and place.uri == uri and not known.get("synced")
