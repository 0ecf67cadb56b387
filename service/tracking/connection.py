"""A connection to MLflow: the client, an experiment, and adding to a run what it does not hold yet."""

import logging
import os
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from service.job.folder import finite
from service.job.store_address import database_of, openable, with_password, without_secrets
from service.tracking.format import allowed_name, text_of
from service.tracking.schema import alone_with, schema_fault
from service.tracking.store import ENVIRONMENT, check_answers, check_writable, log_in

_NOTE = "One run per job, and one per member of its Pareto front (tag `nas.pareto`)."
_MOST_RUNS = 5000
_LONGEST_LINE = 500
_MOST_METRICS = 1000  # most values that a server takes at once


def connect(uri: str) -> Any:
    """Return an MLflow client; fail within seconds where the store cannot be used.

    If several processes open a new SQLite store at once, the first one makes its tables and the others wait.

    Args:
        uri: Address of the store without a password, which is in the environment.

    Raises:
        OSError: The server does not answer, or the database cannot be used.
        ImportError: MLflow is not installed.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    database = database_of(uri)
    if database is None:
        return _connect_elsewhere(uri)
    check_writable(database)
    with alone_with(database):
        try:
            return _client(openable(with_password(uri)))
        except (ImportError, OSError):
            raise
        except Exception as error:  # SQLAlchemy, alembic and MLflow may raise anything
            fault = schema_fault(database) or f"cannot open {database}: {error_line(error)}"
            raise OSError(fault) from error


def _connect_elsewhere(uri: str) -> Any:
    """Return a client of a server, or of a database that is no file."""
    if uri.startswith(("http://", "https://")):
        log_in(uri)
        check_answers(uri)
        return _client(uri)
    try:
        return _client(with_password(uri))
    except (ImportError, OSError):
        raise
    except Exception as error:  # a driver may raise anything
        raise OSError(f"cannot open {uri}: {error_line(error)}") from error


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri)


def experiment_of(client: Any, name: str, uri: str) -> Any:
    """Return the experiment of this name, made where it is missing.

    A local store keeps artifacts beside its database.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        database = database_of(uri)
        location = (database.resolve().parent / "mlartifacts").as_uri() if database is not None else None
        tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": _NOTE}
        try:
            experiment = client.get_experiment(client.create_experiment(name, artifact_location=location, tags=tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # made by another process since
                raise
            experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage != "active":
        raise ValueError(f"experiment {name!r} is deleted in MLflow: restore it, or choose another name")
    return experiment


def error_line(error: BaseException) -> str:
    """Return whatever a server, a driver or a proxy raised in one line, without passwords."""
    line = without_secrets((str(error).strip() or "-").splitlines()[0])
    status = getattr(error, "get_http_status_code", lambda: None)()
    if status == HTTPStatus.UNAUTHORIZED or "error code 401" in line:
        variables = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return f"PermissionError: the MLflow server asks for a login: set {variables} in the environment"
    return f"{type(error).__name__}: {line[:_LONGEST_LINE]}"


def tagged_runs(client: Any, experiment: Any, tags: Mapping[str, str]) -> list[Any]:
    """Return the runs with these tags, the oldest first."""
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    found = client.search_runs([experiment.experiment_id], query, max_results=_MOST_RUNS)
    return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))


def delete_doubles(client: Any, runs: Iterable[Any], chosen: Mapping[Any, Any]) -> None:
    """Delete runs that are not among the chosen: a request whose answer was lost is sent again, and makes a
    second run.
    """
    kept = {run.info.run_id for run in chosen.values()}
    for run in runs:
        if run.info.run_id not in kept:
            client.delete_run(run.info.run_id)


def add_missing(
    client: Any,
    run: Any,
    *,
    time_ms: int,
    metrics: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log what the run does not hold yet; a number that is not finite is left out.

    Args:
        client: Client that `connect` returned.
        run: Run as read from the store.
        time_ms: Time of the metrics; the same at every call for the same values, so that no point is there twice.
        metrics: Name -> number.
        params: Name -> value; logged ones are never changed.
        tags: Name -> text.
    """
    from mlflow.entities import Metric, Param, RunTag

    data = run.data
    numbers = {allowed_name(name): number for name, v in (metrics or {}).items() if (number := finite(v)) is not None}
    texts = {allowed_name(name): text_of(value) for name, value in (params or {}).items()}
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, v, time_ms, 0) for name, v in numbers.items() if data.metrics.get(name) != v],
        params=[Param(name, v) for name, v in texts.items() if name not in data.params],
        tags=[RunTag(name, v) for name, v in (tags or {}).items() if data.tags.get(name) != v],
    )


def add_points(client: Any, run_id: str, points: Iterable[tuple[str, float, int, int]]) -> None:
    """Log points of curves, (metric, value, step, time in ms), in batches; no point is logged twice."""
    from mlflow.entities import Metric

    metrics = [
        Metric(allowed_name(name), number, time_ms, step)
        for name, value, step, time_ms in points
        if (number := finite(value)) is not None
    ]
    for start in range(0, len(metrics), _MOST_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + _MOST_METRICS])
