"""One job folder in MLflow: the summary run with its curves and files, and a run for each member of the front."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from service.job.folder import candidates, finite, read_events, read_json
from service.job.front_file import (
    DATA_FILE,
    SPACE_FILE,
    TASK_FILE,
    member_quantities,
    read_front_file,
    task_of,
    task_of_job,
)
from service.job.outcomes_file import read_breakdown
from service.report.figures import COLOURS
from service.report.member_page import member_files
from service.tracking.connection import add_missing, add_points, delete_doubles, tagged_runs
from service.tracking.format import (
    COLOUR,
    CURVE_PREFIXES,
    HYPERVOLUME,
    LEARNED,
    SYSTEM,
    TICKETS,
    VIEW_KEY,
    allowed_name,
    created_ms,
    dataset_of,
    decisions_of,
    described_params,
    ended_ms,
    is_in_view,
    member_metrics,
    member_params,
    outcome_metrics,
    progress_points,
    source_tags,
    status_of,
    table_of,
    text_of,
    unit_tags,
    view_state,
)

ARTIFACTS = (
    *("job.json", "result.json", "progress.jsonl", "front.json", "search/journal.jsonl", "ranking.json", "ranking.csv"),
    *(TASK_FILE, DATA_FILE, SPACE_FILE, "learned.json", "search/hypervolume.json", "search/proxies.json"),
    *("ticket.json", "report/ticket.png"),
    *("report/front.html", "report/front.png", "report/hypervolume.png", "report/probabilities.png"),
    *("report/training.png", "report/report.html"),
)
_NOTE = "A network of a front. Its picture, its tests in detail and its training: network.html under Artifacts."


@dataclass(frozen=True, kw_only=True)
class JobMirror:
    """One job folder and the experiment that it is written to."""

    client: Any
    folder: Path
    experiment: Any

    @cached_property
    def job(self) -> dict[str, Any]:
        return json.loads((self.folder / "job.json").read_text(encoding="utf-8"))

    def over(self, final: bool) -> bool:
        return final or (self.folder / "result.json").exists()

    def bring_up_to_date(self, memory: Mapping[str, Any], *, final: bool) -> tuple[dict[str, Any], dict[str, str]]:
        """Log what is new, and return what to remember and the runs of the front."""
        there = self._runs({memory.get("run_id")})
        known = {run.info.run_id for run in there.values()}
        run = there.pop(None, None) or self._create_summary()
        self._describe(run)
        memory = self._log_curves(run, memory)
        members: dict[str, str] = {}
        if self.over(final):
            self._log_outcome(run)
            members = self._log_front(run, there)
        if not known.issuperset(used := {run.info.run_id, *members.values()}):
            self._runs(used)
        self._set_status(run, status_of(self.folder, final=final))
        return memory, members

    def _runs(self, preferred: Collection[str | None]) -> dict[str | None, Any]:
        """Return the runs of this job: under None the summary, under its key each member of the front.

        Doubles are deleted: a request whose answer was lost is sent again, and makes a second run.
        """
        found = tagged_runs(self.client, self.experiment, {"nas.job": self.job["id"]})
        found = [run for run in found if run.data.tags.get("nas.kind") in ("job", "member")]
        found.sort(key=lambda run: (run.info.run_id not in preferred, run.info.status != "FINISHED"))
        chosen: dict[str | None, Any] = {}
        for run in found:
            chosen.setdefault(run.data.tags.get("nas.key"), run)
        delete_doubles(self.client, found, chosen)
        return chosen

    # ---- the summary run

    def _create_summary(self) -> Any:
        tags = {"nas.job": self.job["id"], "nas.kind": "job", **source_tags(self.job)}
        return self.client.create_run(
            self.experiment.experiment_id, start_time=created_ms(self.job), tags=tags, run_name=self.job["job"]["name"]
        )

    def _describe(self, run: Any) -> None:
        """Log parameters, data set and colour that are not logged yet; none is changed later."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        tags = {} if COLOUR in run.data.tags else {COLOUR: self._free_colour()}
        self._add(run, params=described_params(self.job), tags=tags)
        run.data.tags.update(tags)
        if not run.inputs or not run.inputs.dataset_inputs:
            tag = InputTag(key="mlflow.data.context", value="train, validation, test")
            self.client.log_inputs(run.info.run_id, [DatasetInput(Dataset(**dataset_of(self.job)), [tag])])

    def _free_colour(self) -> str:
        """Return the first colour that no other job of the experiment has; all members of a front share it."""
        jobs = tagged_runs(self.client, self.experiment, {"nas.kind": "job"})
        taken = [run.data.tags[COLOUR] for run in jobs if COLOUR in run.data.tags]
        return min(COLOURS, key=taken.count)

    def _set_status(self, run: Any, status: str) -> None:
        if status == run.info.status:
            return
        if status == "RUNNING":
            self.client.update_run(run.info.run_id, status=status)
        else:
            self.client.set_terminated(run.info.run_id, status, end_time=ended_ms(self.folder, self.job))

    def _add(self, run: Any, **what: Any) -> None:
        add_missing(self.client, run, time_ms=ended_ms(self.folder, self.job), **what)

    # ---- curves

    def _log_curves(self, run: Any, memory: Mapping[str, Any]) -> dict[str, Any]:
        """Log the points above the last step of each curve, as this folder or the server knows it."""
        run_id = run.info.run_id
        known = memory.get("run_id") == run_id
        steps = dict(memory.get("steps", {})) if known else self._steps_on_server(run)
        records, offset = read_events(self.folder / "progress.jsonl", memory.get("offset", 0) if known else 0)
        points = []
        for name, value, step, time_ms in [*self._training_points(records), *self._hypervolume_points()]:
            if finite(value) is not None and step > steps.get(name, -1):
                steps[name] = step
                points.append((name, value, step, time_ms))
        add_points(self.client, run_id, points)
        return {"run_id": run_id, "offset": offset, "steps": steps}

    def _steps_on_server(self, run: Any) -> dict[str, int]:
        beginnings = (*CURVE_PREFIXES, *(f"{prefix}/" for prefix in (*LEARNED.values(), TICKETS, SYSTEM)))
        logged = [name for name in run.data.metrics if name == HYPERVOLUME or name.startswith(beginnings)]
        histories = {name: self.client.get_metric_history(run.info.run_id, name) for name in logged}
        return {name: max(metric.step for metric in history) for name, history in histories.items()}

    def _training_points(self, records: list[dict[str, Any]]) -> Iterable[tuple[str, Any, int, int]]:
        return progress_points(records, task_of_job(self.folder))

    def _hypervolume_points(self) -> Iterator[tuple[str, Any, int, int]]:
        path = self.folder / "search" / "hypervolume.json"
        for evaluations, hypervolume in (read_json(path) or {}).get("curve", []):
            yield HYPERVOLUME, hypervolume, int(evaluations), created_ms(self.job)

    # ---- what a job leaves

    def _log_outcome(self, run: Any) -> None:
        from service.report.job_report import summary_lines

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
        self._add(run, metrics=metrics, params=params, tags=tags)
        self.client.log_dict(run_id, table_of(rows), "candidates.json")
        for name in ARTIFACTS:
            self._upload(run_id, name, str(Path(name).parent) if "/" in name else None)
        self._upload(run_id, "report/candidates.csv", None)

    def _upload(self, run_id: str, name: str, to: str | None) -> None:
        if (self.folder / name).is_file():
            self.client.log_artifact(run_id, str(self.folder / name), to)

    def _log_front(self, summary: Any, runs: Mapping[Any, Any]) -> dict[str, str]:
        """Log one finished run per member of the front; a run whose member has left the front says so."""
        front = read_front_file(self.folder) or {}
        task, units = task_of(front), unit_tags(member_quantities(front))
        members = {member["key"]: member for member in front.get("members", [])}
        for key in runs.keys() - members.keys():
            self._add(runs[key], tags={"nas.pareto": "false"})
        decisions, colour = decisions_of(self.folder, front), summary.data.tags[COLOUR]
        logged = {}
        for key, member in members.items():
            run = runs.get(key) or self._create_member(summary, key)
            params = member_params(self.job, member, decisions)
            tags = {"nas.pareto": "true", COLOUR: colour, "mlflow.note.content": _NOTE, **units}
            self._add(run, metrics=member_metrics(member, task), params=params, tags=tags)
            if run.info.status != "FINISHED":
                description = {"key": key, "architecture": member["architecture"], "latency": front.get("latency")}
                self.client.log_dict(run.info.run_id, description, "architecture.json")
                if member.get("weights"):
                    self._upload(run.info.run_id, member["weights"], None)
                for name, content in member_files(self.folder, front, member):
                    self.client.log_text(run.info.run_id, content, name)
                self._log_tables(run.info.run_id, key)
                self._set_status(run, "FINISHED")
            logged[key] = run.info.run_id
        if members:
            self._share_view(front)
        return logged

    def _log_tables(self, run_id: str, key: str) -> None:
        """Log what a task tells of a member as tables, such as sample translations; a damaged file tells nothing."""
        try:
            tables = read_breakdown(self.folder, key).tables
        except ValueError:
            return
        names = {title: f"{allowed_name(title)}.json" for title in tables}
        for title, table in tables.items():
            rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
            self.client.log_dict(run_id, table_of(rows), names[title])
        if names:
            listed = json.dumps([{"path": name, "type": "table"} for name in names.values()])
            self.client.set_tag(run_id, "mlflow.loggedArtifacts", listed)

    def _create_member(self, summary: Any, key: str) -> Any:
        tags = {"nas.job": self.job["id"], "nas.kind": "member", "nas.search": summary.info.run_id, "nas.key": key}
        tags |= source_tags(self.job)
        name = f"{self.job['job']['name']} {key}"
        before = created_ms(self.job) - 1  # lists are sorted by time: the job stands above its members
        return self.client.create_run(self.experiment.experiment_id, start_time=before, tags=tags, run_name=name)

    def _share_view(self, front: Mapping[str, Any]) -> None:
        """Share the ready-made charts of all fronts of the experiment."""
        fronts = tagged_runs(self.client, self.experiment, {"nas.pareto": "true"})
        shown = [run.data.params for run in fronts if is_in_view(run.data.metrics, front)]
        key, state = f"mlflow.sharedViewState.{VIEW_KEY}", view_state(shown, front)
        if self.experiment.tags.get(key) != state:
            self.client.set_experiment_tag(self.experiment.experiment_id, key, state)
