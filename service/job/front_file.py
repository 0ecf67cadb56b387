"""The results of a job, as `front.json` and the head of its journal describe them, in any version.

Numbers of networks are found by their role (what they are for) and by their source (where they come from), never by
their names. Folders of earlier versions lack both; the missing facts are derived only here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.job.certainty_keys import CERTAINTY
from service.job.damage import shape_mistake
from service.job.folder import read_json, read_lines

if TYPE_CHECKING:
    from service.job.certainty import Scores
    from supernets.tasks import Task

TASK_FILE = "task.json"
"""What a job leaves as soon as it knows its task: the `task` of `front.json`."""
DATA_FILE = "data.json"
"""What is known of the data of a job, for reports; see `nas.data.report.DataReport.to_json`."""
SPACE_FILE = "space.json"
"""What a space that was read off a network says of it; see `search_spaces.origin.Origin.to_json`."""
PREDICTED = "predicted_"
"""What the name of a value begins with where a search predicted a measured cost."""

_EARLIER_TASK: Mapping[str, Any] = {
    "name": "classification",
    "metric": {"name": "accuracy", "unit": "%", "maximise": True},
    "examples": "images",
}
_EARLIER_SOURCES = {"macs": "computed", "params": "computed", "roofline_ms": "computed"}
_EARLIER_UNDESCRIBED = {"latency_ms": ("ms", "measured"), "macs": ("", "computed"), "params": ("", "computed")}
"""What every member had, whatever was searched for -> unit and source."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A kind of number that is known of networks.

    Attributes:
        name: Name in job files, journals and MLflow.
        unit: Unit as written behind a value; empty where there is none.
        maximise: Whether more is better.
        role: `quality` or `cost`.
        source: `measured`, `computed` or `predicted`.
        optimised: Whether the search traded it off; otherwise it was only limited or noted.
    """

    name: str
    unit: str = ""
    maximise: bool = False
    role: str = "cost"
    source: str = "computed"
    optimised: bool = True

    @property
    def is_measured_cost(self) -> bool:
        """Whether its values depend on a machine and are measured again at the end of a search."""
        return self.role == "cost" and self.source == "measured"


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """The task that networks are trained for.

    Attributes:
        name: Name of the task.
        metric: Metric that they are judged by.
        examples: Name of the examples of the data, in the plural.
    """

    name: str
    metric: Quantity
    examples: str


def read_front_file(folder: Path) -> dict[str, Any] | None:
    """Return the content of `front.json` in the terms of this version; None where there is none yet."""
    content = read_json(folder / "front.json")
    if content is None:
        return None
    return brought_up_to_date({"task": read_json(folder / TASK_FILE), **content})


def brought_up_to_date(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a `front.json` of any version with the keys of this version."""
    task = content.get("task") or _EARLIER_TASK
    current = {**content, "task": task}
    if "images" in current and "examples" not in current:
        current["examples"] = current.pop("images")
    if "objectives" in content:
        metric = task["metric"]["name"]
        current["objectives"] = [_with_role(described, metric) for described in content["objectives"]]
    for part in ("members", "dropped"):
        if part in content:
            current[part] = [_with_test_quality(member) for member in content[part]]
    if "members" in current and CERTAINTY not in current:
        current = judged_front(current)
    return current


def judged_front(front: Mapping[str, Any], scores: "Scores | None" = None) -> dict[str, Any]:
    """Return a front in the terms of this version, with the certainty of its numbers and of differences.

    Args:
        front: Content of `front.json`.
        scores: Scores that are kept of single examples.
    """
    from service.job.certainty import Judged, nothing_kept, with_certainty

    metric, quantities = task_of(front).metric, member_quantities(front)
    judged = Judged(
        metric=metric.name,
        maximise=metric.maximise,
        measured=[quantity.name for quantity in quantities if quantity.is_measured_cost],
        described=any(quantity.name == metric.name for quantity in quantities),
    )
    return with_certainty(front, judged, scores or nothing_kept)


def _with_test_quality(member: Mapping[str, Any]) -> dict[str, Any]:
    return {("test_quality" if name == "test_accuracy" else name): value for name, value in member.items()}


def _with_role(described: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """Return the description of an objective, completed where an earlier version wrote it."""
    name = described["name"]
    role = "quality" if name == metric or described.get("maximise") else "cost"
    return {"role": role, "source": _EARLIER_SOURCES.get(name, "measured"), **described}


def read_retrained(path: Path) -> dict[str, Any]:
    """Return the record of one network that was trained further, in the terms of this version; empty where there is
    none.
    """
    record = read_json(path) or {}
    return {name.replace("_accuracy", "_quality"): value for name, value in record.items()}


def objectives_of(folder: Path) -> list[dict[str, Any]]:
    """Return the objectives of the search, from the front or, before there is one, from the head of the journal."""
    front = read_front_file(folder)
    if front and front.get("objectives"):
        return front["objectives"]
    lines = read_lines(folder / "search" / "journal.jsonl")[0]
    head = next((line for line in lines if "objectives" in line and shape_mistake("header", line) is None), {})
    metric = task_of_job(folder).metric.name
    return [_with_role(described, metric) for described in head.get("objectives", [])]


def described_task(name: str, task: "Task") -> dict[str, Any]:
    """Return a task as `task.json` and `front.json` have it; the name is that of a job."""
    metric = {"name": task.metric.name, "unit": task.metric.unit, "maximise": task.metric.maximise}
    return {"name": name, "metric": metric, "examples": task.examples}


def task_of(front: Mapping[str, Any]) -> TaskFacts:
    """Return the task of a front; that of earlier versions where it is not stated."""
    task = front.get("task") or _EARLIER_TASK
    metric = task["metric"]
    judged = Quantity(
        name=metric["name"],
        unit=metric.get("unit") or "",
        maximise=bool(metric.get("maximise", True)),
        role="quality",
        source="measured",
    )
    return TaskFacts(name=task.get("name") or "", metric=judged, examples=task.get("examples") or "examples")


def task_of_job(folder: Path) -> TaskFacts:
    """Return the task of a job, from its front or, before there is one, from its `task.json`."""
    front = read_front_file(folder)
    return task_of(front or {"task": read_json(folder / TASK_FILE)})


def quantities_of(
    objectives: Sequence[Mapping[str, Any]], values: Iterable[Mapping[str, Any]], intervals: Iterable[str] = ()
) -> list[Quantity]:
    """Return all quantities that networks can be shown by: described ones, then measured values without a description.

    Earlier versions did not describe the costs that every member has. Values without a description or an interval,
    such as scores of proxies, are notes.

    Args:
        objectives: Descriptions, as `read_front_file` and `objectives_of` give them.
        values: Values of networks, by name.
        intervals: Names of the values that have intervals, which are measured ones.
    """
    described = [
        Quantity(
            name=objective["name"],
            unit=objective.get("unit") or "",
            maximise=bool(objective.get("maximise")),
            role=objective["role"],
            source=objective["source"],
            optimised=bool(objective.get("optimised", True)),
        )
        for objective in objectives
    ]
    known, measured = {quantity.name for quantity in described}, set(intervals)
    beside = dict.fromkeys(name for value in values for name in value if name not in known)
    found = {name: facts for name, facts in _EARLIER_UNDESCRIBED.items() if name in beside}
    noted = (name for name in beside if name in measured and not name.startswith(PREDICTED))
    found |= {name: ("", "measured") for name in noted if name not in found}
    return described + [
        Quantity(name=name, unit=unit, source=source, optimised=False) for name, (unit, source) in found.items()
    ]


def member_quantities(front: Mapping[str, Any]) -> list[Quantity]:
    """Return all quantities that are known of the members of a front, see `quantities_of`."""
    members = front.get("members", [])
    intervals = (name for member in members for name in member.get("intervals") or {})
    return quantities_of(front.get("objectives", []), [member["values"] for member in members], intervals)


def quality_of(quantities: Sequence[Quantity], task: TaskFacts) -> Quantity:
    """Return the quality that networks are judged by: the metric of the task where it is known, else another
    quality.
    """
    ranked = sorted(
        (quantity for quantity in quantities if quantity.optimised or quantity.name == task.metric.name),
        key=lambda q: (q.name != task.metric.name, q.role != "quality", not q.maximise),
    )
    return ranked[0] if ranked else task.metric
