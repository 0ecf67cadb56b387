"""Mirror of job folders in MLflow: the only module that knows it.

A job is one summary run, and every member of its Pareto front one run of its own beside it. They are not nested:
MLflow draws no charts for nested runs. The job folder stays the truth; `sync` may be called at any time, any number of
times, and adds only what the server does not have yet.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from service.folder import candidates, finite, read_json, read_lines, write_json
from service.mlflow_format import (
    CURVES,
    HYPERVOLUME,
    LEARNED,
    VIEW_KEY,
    Links,
    allowed_name,
    created_ms,
    dataset_of,
    described_params,
    ended_ms,
    links,
    member_metrics,
    outcome_metrics,
    progress_points,
    source_tags,
    status_of,
    table_of,
    text_of,
    view_state,
)
from service.store import ENVIRONMENT, check_answers, check_free, check_writable, database_of, default_uri, run_server

__all__ = [
    "FinishedRun",
    "Links",
    "SyncResult",
    "TrackingConfig",
    "default_uri",
    "log_finished",
    "serve",
    "sync",
    "sync_benchmark",
    "view_link",
]

ARTIFACTS = (
    *("job.json", "result.json", "progress.jsonl", "front.json", "search/journal.jsonl", "ranking.json", "ranking.csv"),
    *("search/hypervolume.json", "search/proxies.json"),
    *("report/front.html", "report/front.png", "report/hypervolume.png", "report/probabilities.png"),
)


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Where a job is logged.

    Args:
        enabled: Whether the job is logged in MLflow at all.
        uri: Address of an MLflow server, or a database such as `sqlite:///runs/mlflow.db`; `null` for the local one.
        experiment: Name of the MLflow experiment, made where it is missing.
    """

    enabled: bool = True
    uri: str | None = None
    experiment: str = "espalier"

    def __post_init__(self) -> None:
        if not self.experiment.strip() or len(self.experiment) > 500:
            raise ValueError(f"experiment must be a name of 1 to 500 characters, got {self.experiment!r}")
        if self.uri is not None and "://" not in self.uri:
            allowed = "an address such as http://host:5000 or sqlite:///runs/mlflow.db, or null"
            raise ValueError(f"uri must be {allowed}, got {self.uri!r}")


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """What one `sync` did.

    Args:
        uri: The store that was written.
        experiment: Name of the experiment.
        synced: Whether the whole job, now over, is in MLflow.
        error: One line that says why nothing or not all was logged.
        experiment_id: Of the experiment, None where it was not reached.
        run_id: Of the summary run, None where it was not reached.
        members: Key of every logged member of the front -> its run.
    """

    uri: str
    experiment: str
    synced: bool = False
    error: str | None = None
    experiment_id: str | None = None
    run_id: str | None = None
    members: dict[str, str] = field(default_factory=dict)


def _local_uri(memory: Mapping[str, Any]) -> str:
    """The store where the job was logged before, if there still is one; else the local one."""
    remembered = memory.get("uri")
    if remembered and ((database := database_of(remembered)) is None or database.exists()):
        return remembered
    return default_uri()


def _client(uri: str) -> Any:
    """An MLflow client; fails within seconds where the store cannot be used.

    Raises:
        OSError: The server does not answer, or the database cannot be written.
        ImportError: MLflow is not installed.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if uri.startswith(("http://", "https://")):
        check_answers(uri)
    elif (database := database_of(uri)) is not None:
        check_writable(database)
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri)


def _experiment(client: Any, name: str, uri: str) -> Any:
    """The experiment of this name, made where it is missing; a local store keeps artifacts beside its database."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        database = database_of(uri)
        location = (database.resolve().parent / "mlartifacts").as_uri() if database is not None else None
        note = "One run per job, and one per member of its Pareto front (tag `nas.pareto`)."
        tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": note}
        experiment = client.get_experiment(client.create_experiment(name, artifact_location=location, tags=tags))
    if experiment.lifecycle_stage != "active":
        raise ValueError(f"experiment {name!r} is deleted in MLflow: restore it, or choose another name")
    return experiment


def sync(folder: Path, config: TrackingConfig | None = None, *, final: bool) -> SyncResult:
    """Brings MLflow up to date with a job folder.

    Args:
        folder: The job folder.
        config: Where to log; by default as the job says. Without a `uri` the store of the job is used.
        final: Whether nobody works on the job any more. A job without a result is then logged as killed.

    Returns:
        What was done. MLflow that is missing, away or read-only is an `error` there, never an exception: the mirror is
        brought up to date by a later call. `tracking.json` in the job folder says the same.

    Raises:
        FileNotFoundError: The folder holds no job.
    """
    folder = Path(folder)
    job = read_json(folder / "job.json")
    if job is None:
        raise FileNotFoundError(f"{folder} is not a job folder: it has no job.json")
    saved = TrackingConfig(**job["job"].get("tracking", {}))
    config = config or saved
    memory = read_json(folder / "tracking.json") or {}
    uri = config.uri or saved.uri or _local_uri(memory)
    if not config.enabled:
        return SyncResult(uri=uri, experiment=config.experiment)
    try:
        client = _client(uri)
        mirror = _Mirror(client=client, folder=folder, job=job, experiment=_experiment(client, config.experiment, uri))
        memory, members = mirror.bring_up_to_date(memory, final=final)
    except Exception as error:  # whatever a server, a driver or a proxy raises: a mirror must not end the job
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        memory = {name: memory[name] for name in ("run_id", "offset", "steps") if name in memory}
        result = SyncResult(uri=uri, experiment=config.experiment, error=f"{type(error).__name__}: {line[:300]}")
    else:
        result = SyncResult(
            uri=uri,
            experiment=config.experiment,
            synced=mirror.over(final),
            experiment_id=mirror.experiment.experiment_id,
            run_id=memory["run_id"],
            members=members,
        )
    status = {"uri": uri, "experiment": config.experiment, "synced": result.synced, "error": result.error}
    write_json(folder / "tracking.json", {**status, **memory})
    return result


def sync_benchmark(folder: Path, config: TrackingConfig) -> SyncResult:
    """Brings MLflow up to date with the summary of a benchmark of several jobs, which have runs of their own.

    Args:
        folder: Holds `benchmark.json`: id, created, name, params and metrics; other files there become artifacts.
        config: Where to log.
    """
    content = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    uri = config.uri or default_uri()
    result = SyncResult(uri=uri, experiment=config.experiment)
    if not config.enabled:
        return result
    try:
        client = _client(uri)
        job = {"id": content["id"], "created": content["created"], "job": {"name": content["name"]}}
        mirror = _Mirror(client=client, folder=folder, job=job, experiment=_experiment(client, config.experiment, uri))
        run_id = mirror.log_benchmark(content)
    except Exception as error:  # as in `sync`
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return replace(result, error=f"{type(error).__name__}: {line[:300]}")
    return replace(result, synced=True, experiment_id=mirror.experiment.experiment_id, run_id=run_id)


@dataclass(frozen=True, kw_only=True)
class _Mirror:
    """One job folder and the experiment that it is written to."""

    client: Any
    folder: Path
    job: dict[str, Any]
    experiment: Any

    def over(self, final: bool) -> bool:
        return final or (self.folder / "result.json").exists()

    def bring_up_to_date(self, memory: dict[str, Any], *, final: bool) -> tuple[dict[str, Any], dict[str, str]]:
        """Logs what is new; returns what to remember, and the runs of the front."""
        query = f"tags.`nas.job` = '{self.job['id']}'"
        runs = list(self.client.search_runs([self.experiment.experiment_id], query, max_results=5000))
        run = next((run for run in reversed(runs) if run.data.tags.get("nas.kind") == "job"), None)
        run = run or self._create_summary()
        self._describe(run)
        memory = self._log_curves(run, memory)
        members: dict[str, str] = {}
        if self.over(final):
            self._log_outcome(run)
            members = self._log_front(run, {r.data.tags["nas.key"]: r for r in runs if "nas.key" in r.data.tags})
        self._set_status(run, status_of(self.folder, final=final))
        return memory, members

    def log_benchmark(self, content: Mapping[str, Any]) -> str:
        """One run for the summary of a benchmark; returns its id. The jobs have its id as tag `nas.benchmark`."""
        tags = {"nas.benchmark": self.job["id"], "nas.kind": "benchmark", **source_tags(self.job)}
        query = f"tags.`nas.benchmark` = '{self.job['id']}' and tags.`nas.kind` = 'benchmark'"
        runs = self.client.search_runs([self.experiment.experiment_id], query, max_results=1)
        name = self.job["job"]["name"]
        run = runs[0] if runs else self.client.create_run(self.experiment.experiment_id, tags=tags, run_name=name)
        self._log(run, metrics=content["metrics"], params=content["params"])
        for file in sorted(path.name for path in self.folder.iterdir() if path.suffix in (".csv", ".json")):
            self._upload(run.info.run_id, file, None)
        self.client.set_terminated(run.info.run_id, "FINISHED")
        return run.info.run_id

    # ---- the summary run

    def _create_summary(self) -> Any:
        tags = {"nas.job": self.job["id"], "nas.kind": "job", **source_tags(self.job)}
        return self.client.create_run(
            self.experiment.experiment_id, start_time=created_ms(self.job), tags=tags, run_name=self.job["job"]["name"]
        )

    def _describe(self, run: Any) -> None:
        """Parameters and data set, as far as they are not logged yet: neither can be changed later."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        self._log(run, params=described_params(self.job))
        if not run.inputs or not run.inputs.dataset_inputs:
            tag = InputTag(key="mlflow.data.context", value="train, validation, test")
            self.client.log_inputs(run.info.run_id, [DatasetInput(Dataset(**dataset_of(self.job)), [tag])])

    def _set_status(self, run: Any, status: str) -> None:
        if status == run.info.status:
            return
        if status == "RUNNING":
            self.client.update_run(run.info.run_id, status=status)
        else:
            self.client.set_terminated(run.info.run_id, status, end_time=ended_ms(self.folder, self.job))

    def _log(
        self,
        run: Any,
        *,
        metrics: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Logs what the run does not hold yet; a number that is not finite is left out."""
        from mlflow.entities import Metric, Param, RunTag

        now, data = ended_ms(self.folder, self.job), run.data
        numbers = {
            allowed_name(name): number for name, v in (metrics or {}).items() if (number := finite(v)) is not None
        }
        texts = {allowed_name(name): text_of(value) for name, value in (params or {}).items()}
        self.client.log_batch(
            run.info.run_id,
            metrics=[Metric(name, v, now, 0) for name, v in numbers.items() if data.metrics.get(name) != v],
            params=[Param(name, v) for name, v in texts.items() if name not in data.params],
            tags=[RunTag(name, v) for name, v in (tags or {}).items() if data.tags.get(name) != v],
        )

    # ---- curves

    def _log_curves(self, run: Any, memory: Mapping[str, Any]) -> dict[str, Any]:
        """Logs the points above the last step of each curve, whichever of this folder and the server knows it."""
        from mlflow.entities import Metric

        run_id = run.info.run_id
        known = memory.get("run_id") == run_id
        steps = dict(memory.get("steps", {})) if known else self._steps_on_server(run)
        records, offset = read_lines(self.folder / "progress.jsonl", memory.get("offset", 0) if known else 0)
        metrics = []
        for name, value, step, time_ms in [*progress_points(records), *self._hypervolume_points()]:
            if finite(value) is not None and step > steps.get(name, -1):
                steps[name] = step
                metrics.append(Metric(name, float(value), time_ms, step))
        self.client.log_batch(run_id, metrics=metrics)
        return {"run_id": run_id, "offset": offset, "steps": steps}

    def _steps_on_server(self, run: Any) -> dict[str, int]:
        curves = {HYPERVOLUME}.union(*(names.values() for names in CURVES.values()))
        beginnings = tuple(f"{prefix}/" for prefix in LEARNED.values())
        logged = [name for name in run.data.metrics if name in curves or name.startswith(beginnings)]
        histories = {name: self.client.get_metric_history(run.info.run_id, name) for name in logged}
        return {name: max(metric.step for metric in history) for name, history in histories.items()}

    def _hypervolume_points(self) -> Iterable[tuple[str, Any, int, int]]:
        path = self.folder / "search" / "hypervolume.json"
        for evaluations, hypervolume in (read_json(path) or {}).get("curve", []):
            yield HYPERVOLUME, hypervolume, int(evaluations), created_ms(self.job)

    # ---- what a job leaves

    def _log_outcome(self, run: Any) -> None:
        from service.report import summary_lines

        result, run_id = read_json(self.folder / "result.json") or {}, run.info.run_id
        rows = candidates(self.folder)
        metrics = outcome_metrics(self.folder) | {"evaluations": len(rows)}
        tables = json.dumps([{"path": "candidates.json", "type": "table"}])
        lines = [line for line in summary_lines(self.folder) if not line.startswith("report:")]
        tags = {"mlflow.note.content": "  \n".join(lines), "mlflow.loggedArtifacts": tables}
        if result.get("reason"):
            tags["nas.reason"] = text_of(result["reason"])
        params: dict[str, Any] = {}
        if ranking := read_json(self.folder / "ranking.json"):
            tags["nas.benchmark"] = ranking["benchmark"]
            params = {"method": ranking["method"], **{f"ranking.{name}": v for name, v in ranking["judging"].items()}}
        self._log(run, metrics=metrics, params=params, tags=tags)
        self.client.log_dict(run_id, table_of(rows), "candidates.json")
        for name in ARTIFACTS:
            self._upload(run_id, name, str(Path(name).parent) if "/" in name else None)
        self._upload(run_id, "report/candidates.csv", None)

    def _upload(self, run_id: str, name: str, to: str | None) -> None:
        if (self.folder / name).is_file():
            self.client.log_artifact(run_id, str(self.folder / name), to)

    def _log_front(self, summary: Any, runs: Mapping[str, Any]) -> dict[str, str]:
        """One finished run per member of the front; a run whose member has left the front says so."""
        front = read_json(self.folder / "front.json") or {}
        members = {member["key"]: member for member in front.get("members", [])}
        for key in runs.keys() - members.keys():
            self._log(runs[key], tags={"nas.pareto": "false"})
        decisions = list(dict.fromkeys(name for member in members.values() for name in member["architecture"]))
        logged = {}
        for key, member in members.items():
            run = runs.get(key) or self._create_member(summary, key)
            params = {name: member["architecture"].get(name, "-") for name in decisions}
            self._log(run, metrics=member_metrics(member), params=params, tags={"nas.pareto": "true"})
            if run.info.status != "FINISHED":
                description = {"key": key, "architecture": member["architecture"], "latency": front.get("latency")}
                self.client.log_dict(run.info.run_id, description, "architecture.json")
                if member.get("weights"):
                    self._upload(run.info.run_id, member["weights"], None)
                self._set_status(run, "FINISHED")
            logged[key] = run.info.run_id
        if members:
            self._share_view(list(members.values()), front.get("objectives", []))
        return logged

    def _create_member(self, summary: Any, key: str) -> Any:
        tags = {"nas.job": self.job["id"], "nas.kind": "member", "nas.search": summary.info.run_id, "nas.key": key}
        tags |= source_tags(self.job)
        name = f"{self.job['job']['name']} {key}"
        before = created_ms(self.job) - 1  # lists are sorted by time: the job stands above its members
        return self.client.create_run(self.experiment.experiment_id, start_time=before, tags=tags, run_name=name)

    def _share_view(self, members: list[dict[str, Any]], objectives: list[dict[str, Any]]) -> None:
        key, state = f"mlflow.sharedViewState.{VIEW_KEY}", view_state(members, objectives)
        if self.experiment.tags.get(key) != state:
            self.client.set_experiment_tag(self.experiment.experiment_id, key, state)


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """Something that is over and is logged as it is, such as one searcher of a benchmark.

    Args:
        name: Of the run.
        params: Settings.
        tags: As MLflow has them.
        metrics: Final numbers; those that are not finite are left out.
        curves: Metric -> steps and values.
        files: Uploaded as artifacts.
    """

    name: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Mapping[str, Any]
    curves: Mapping[str, Sequence[tuple[int, float]]]
    files: Sequence[Path] = ()


def log_finished(runs: Iterable[FinishedRun], *, uri: str | None = None, experiment: str = "benchmarks") -> str | None:
    """Logs runs that are over, each as a new one; one line that says why not, where MLflow cannot be used."""
    try:
        from mlflow.entities import Metric, Param

        client = _client(uri or default_uri())
        found = _experiment(client, experiment, uri or default_uri())
        for run in runs:
            made = client.create_run(found.experiment_id, tags=dict(run.tags), run_name=run.name)
            points = [(name, value, 0) for name, value in run.metrics.items()]
            points += [(name, value, step) for name, curve in run.curves.items() for step, value in curve]
            now = made.info.start_time
            metrics = [Metric(allowed_name(name), v, now, step) for name, v, step in points if finite(v) is not None]
            for start in range(0, len(metrics), 1000):  # what a server takes at once
                client.log_batch(made.info.run_id, metrics=metrics[start : start + 1000])
            params = [Param(allowed_name(name), text_of(value)) for name, value in run.params.items()]
            client.log_batch(made.info.run_id, params=params)
            for path in run.files:
                client.log_artifact(made.info.run_id, str(path))
            client.set_terminated(made.info.run_id)
    except Exception as error:  # whatever a server, a driver or a proxy raises: a mirror must not end the work
        return f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0][:300]}"
    return None


def view_link(uri: str, experiment: str, *, base: str | None = None) -> Links:
    """Addresses of an experiment in the user interface.

    Args:
        uri: The store; the address of a server is its own base.
        experiment: Name of the experiment.
        base: Where `serve` shows a database.

    Raises:
        OSError: The store cannot be reached.
        LookupError: It has no such experiment.
    """
    found = _client(uri).get_experiment_by_name(experiment)
    if found is None:
        raise LookupError(f"{uri} has no experiment {experiment!r} yet")
    return links(base or (uri if uri.startswith("http") else "http://127.0.0.1:5000"), found.experiment_id)


def serve(
    uri: str,
    host: str = "127.0.0.1",
    port: int = 5000,
    *,
    experiment: str = "espalier",
    echo: Callable[[str], Any] = print,
) -> int:
    """Shows a store in the browser until interrupted; of a server that runs elsewhere only the links are printed.

    Returns:
        The exit status of the server, 0 where it was interrupted.

    Raises:
        FileNotFoundError: There is no such database yet.
        OSError: The port is taken, or the store cannot be reached.
    """
    database = database_of(uri)
    if database is not None and not database.exists():
        raise FileNotFoundError(f"there is no MLflow store at {database} yet: it is made by the first job")
    if not uri.startswith("http"):
        check_free(host, port)
    base = uri if uri.startswith("http") else f"http://{host}:{port}"
    try:
        found = view_link(uri, experiment, base=base)
        echo(f"charts: {found.charts}\nruns:   {found.runs}")
    except LookupError:
        echo(base)
    if uri.startswith("http"):
        return 0
    return run_server(uri, host, port)
