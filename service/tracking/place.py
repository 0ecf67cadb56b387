"""The place where something is logged, and the setting that decides it.

The settings of a job come first, then the environment at the time when the job was made, then the present environment,
then the place where the job was logged before, and at last the local store. So a job stays in its store when it goes on
elsewhere.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.job.folder import read_json, read_object, write_json
from service.job.store_address import (
    EXPERIMENT_VARIABLE,
    URI_VARIABLE,
    address_of,
    database_of,
    environment_store,
    plain,
)
from service.job.tracking import EXPERIMENT, TrackingConfig, without_password
from service.tracking.format import links, run_link


@dataclass(frozen=True, kw_only=True)
class Place:
    """A store and an experiment in it.

    Args:
        uri: Address of the store, without a password.
        experiment: Name of the experiment.
        enabled: Whether anything is logged.
        origin: Variables of the environment that decided; empty for none.
    """

    uri: str
    experiment: str
    enabled: bool = True
    origin: tuple[str, ...] = ()

    @property
    def is_server(self) -> bool:
        return self.uri.startswith(("http://", "https://"))

    def __str__(self) -> str:
        said = f" (from {', '.join(self.origin)})" if self.origin else ""
        return f"{self.uri}, experiment {self.experiment}{said}"


def default_uri() -> str:
    """Return the store in the environment, or the local one: `runs/mlflow.db` here, made when first used."""
    return environment_store().get("uri") or local_uri()


def local_uri() -> str:
    return address_of(Path.cwd() / "runs" / "mlflow.db")


def default_experiment(otherwise: str = EXPERIMENT) -> str:
    """Return the experiment in the environment, or another."""
    return environment_store().get("experiment") or otherwise


def place_of_job(folder: Path, config: TrackingConfig | None = None, *, uri: str | None = None) -> Place:
    """Return where a job is logged.

    Args:
        folder: The job folder.
        config: Settings of the job; by default the saved ones.
        uri: A store that takes precedence over all others.

    Raises:
        FileNotFoundError: The folder holds no job.
    """
    job = _described(folder)
    saved = TrackingConfig(**job["job"].get("tracking", {}))
    said = config or saved
    made = {name: value for name, value in (job.get("tracking") or {}).items() if isinstance(value, str)}
    now, before = environment_store(), read_object(folder / "tracking.json")
    stores = {"": uri or said.uri or saved.uri, URI_VARIABLE: made.get("uri") or now.get("uri")}
    names = {"": said.experiment or saved.experiment}
    names[EXPERIMENT_VARIABLE] = made.get("experiment") or now.get("experiment")
    unsaid = [value for value in (stores, names) if not value[""]]
    origin = tuple(variable for value in unsaid for variable, found in value.items() if found)
    store = stores[""] or stores[URI_VARIABLE] or _remembered(before) or local_uri()
    experiment = names[""] or names[EXPERIMENT_VARIABLE] or EXPERIMENT
    return Place(uri=store, experiment=experiment, enabled=said.enabled, origin=origin)


def place_of(config: TrackingConfig, experiment: str) -> Place:
    """Return where something that is no job is logged; `experiment` is for who names none."""
    uri = config.uri or default_uri()
    return Place(uri=uri, experiment=config.experiment or default_experiment(experiment), enabled=config.enabled)


def browser_lines(folder: Path) -> list[str]:
    """Return how a job is opened in the browser, or why it is not in MLflow; from what the last logging left."""
    place, left = place_of_job(folder), read_object(folder / "tracking.json")
    if not place.enabled:
        return []
    if left.get("error") or not left.get("run_id"):
        return [f"not in MLflow yet ({left.get('error') or 'nothing was logged'}); log it with: nas sync {folder}"]
    if place.is_server and left.get("experiment_id"):
        number = left["experiment_id"]
        run, fronts = run_link(place.uri, number, left["run_id"]), links(place.uri, number).charts
        return [f"in the browser: {run}", f"all fronts: {fronts}"]
    return [f"in the browser: {ui_command(place.uri, place.experiment)}"]


def ui_command(uri: str, experiment: str) -> str:
    """Return the command that shows a store which is no server."""
    where = "" if uri == default_uri() else f" --uri {uri}"
    return f"nas ui{where}{'' if experiment == default_experiment() else f' --experiment {experiment}'}"


def _described(folder: Path) -> dict[str, Any]:
    """Return `job.json`; a password that an earlier version kept in it is taken out of the file."""
    job = read_json(folder / "job.json")
    if job is None:
        raise FileNotFoundError(f"{folder} is not a job folder: it has no job.json")
    clean = {**job, "job": without_password(job["job"])}
    if clean != job and os.access(folder, os.W_OK):
        write_json(folder / "job.json", clean)
    return clean


def _remembered(before: Mapping[str, Any]) -> str | None:
    """Return the store where the job was logged before, if there still is one."""
    uri = before.get("uri")
    if not uri:
        return None
    database = database_of(uri)
    return plain(uri) if database is None or database.exists() else None
