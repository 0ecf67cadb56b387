"""Job folders fetched from MLflow: the files that a comparison needs of a run that is not on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service import catalogue
from service.errors import InvalidJob
from service.job.front_file import DATA_FILE, TASK_FILE
from service.job.store_address import database_of
from service.tracking.connection import connect, error_line

_FILES = (
    *("job.json", TASK_FILE, DATA_FILE, "front.json", "result.json", "progress.jsonl"),
    *("search/journal.jsonl", "search/proxies.json"),
)
_NEEDED = ("job.json", "front.json")
_MOST_RUNS = 1000
_MOST_NAMED = 12


def fetch_job(run: str, uri: str, folder: Path) -> Path:
    """Download the files of a job.

    Args:
        run: Id or name of its summary run, or id of a member of its front.
        uri: The store.
        folder: Folder that is made, and filled like the job folder.

    Raises:
        InvalidJob: There is no such store or run, several have this name, or the job has no front yet.
        OSError: The store cannot be reached.
    """
    database = database_of(uri)
    if database is not None and not database.exists():
        missing = f"and there is no MLflow store at {database} to look for a run of this name (--uri)"
        raise InvalidJob([f"{run}: is not a job folder, {missing}"])
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        return _downloaded(client, run, uri, folder)
    except MlflowException as error:
        raise OSError(f"MLflow at {uri}: {error_line(error)}") from error


def _downloaded(client: Any, run: str, uri: str, folder: Path) -> Path:
    found = _summary(client, run, uri)
    folder.mkdir(parents=True, exist_ok=True)
    present = {entry.path for place in (None, "search") for entry in client.list_artifacts(found.info.run_id, place)}
    for name in _NEEDED:
        if name not in present:
            raise InvalidJob([f"{run}: this job has no front in {uri} yet ({name} is missing there)"])
    for name in _FILES:
        if name in present:
            client.download_artifacts(found.info.run_id, name, str(folder))
    return folder


def _summary(client: Any, run: str, uri: str) -> Any:
    """Return the summary run that a name or id stands for."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    jobs = client.search_runs(experiments, "tags.`nas.kind` = 'job'", max_results=_MOST_RUNS)
    by_id = {found.info.run_id: found for found in jobs}
    if run in by_id:
        return by_id[run]
    member = _member_tags(client, run)
    if member.get("nas.search") in by_id:
        return by_id[member["nas.search"]]
    named = [found for found in jobs if found.info.run_name == run]
    if len(named) > 1:
        choice = ", ".join(found.info.run_id for found in named[:4])
        raise InvalidJob([f"{run}: {len(named)} runs in {uri} have this name; give an id: {choice}"])
    if not named:
        names = list(dict.fromkeys(found.info.run_name for found in jobs))[:_MOST_NAMED]
        hint = catalogue.suggestion(run, names) if names else ""
        raise InvalidJob([f"{run}: is not a job folder, and no job in {uri} has this name or id{hint}"])
    return named[0]


def _member_tags(client: Any, run: str) -> Mapping[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run).data.tags
    except MlflowException:
        return {}
