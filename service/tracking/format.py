"""The results of a job in the terms of MLflow: its names and values, points of curves, the charts page."""

import base64
import getpass
import json
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from service.job.folder import finite, journal_records, read_events, read_json
from service.job.front_file import Quantity, TaskFacts, member_quantities, quality_of, task_of, task_of_job

LONGEST_VALUE = 6000
VIEW_KEY = "pareto"
_VALIDATED = ("largest", "smallest", "random", "ticket")
_SPEEDS = ("examples_per_s", "images_per_s")  # the second in earlier versions
CURVE_PREFIXES = ("train/", "validation/")
"""What the names of the curves of a training begin with."""
LEARNED = {"probabilities": "probability", "examples": "examples", "gradients": "gradient"}
"""Mappings in the events of samplers -> what the names of their metrics begin with; steps are epochs."""
TICKET = (
    *("sparsity", "weights", "masked_weights", "returned_weights", "reactivated_by_removal", "reactivated_by_reset"),
    *("channels", "paths", "removed_channels", "dense_macs", "dense_params", "sparse_macs", "sparse_params"),
)
"""Numbers in the events of tickets; steps of their metrics are epochs."""
TICKETS = "ticket"
"""What the names of these metrics begin with."""
HYPERVOLUME = "search/hypervolume"
SYSTEM = "system"
"""What the names of the metrics of the machine begin with, as in the pages of MLflow."""
COLOUR = "mlflow.runColor"


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a tree of mappings by dotted name; an empty mapping is a leaf."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            leaves |= flatten(value, f"{prefix}{name}.")
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves


def member_metrics(member: Mapping[str, Any], task: TaskFacts) -> dict[str, Any]:
    """Return the numbers of a member of the front, under the same names in every run."""
    metrics = {**member["values"], f"test_{task.metric.name}": member.get("test_quality")}
    for name, (low, high) in (member.get("intervals") or {}).items():
        metrics |= {f"{name}_low": low, f"{name}_high": high}
    metrics |= {f"test_{name}": value for name, (value, _) in (member.get("test_numbers") or {}).items()}
    for name, groups in (member.get("test_groups") or {}).items():
        metrics |= {f"test_{name}/{group}": value for group, value in groups.items()}
    return metrics


def decisions_of(folder: Path, front: Mapping[str, Any]) -> list[str]:
    """Return the decisions of a search space in its order: the same for every search of it."""
    if front.get("decisions"):
        return list(front["decisions"])
    known = [record["architecture"] for record in journal_records(folder)]
    return list(dict.fromkeys(name for architecture in known for name in architecture))


def member_params(job: Mapping[str, Any], member: Mapping[str, Any], decisions: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of a member of the front: its search, its space, and every decision, `-` where inactive."""
    architecture = member["architecture"]
    names = dict.fromkeys([*decisions, *architecture])
    search = {"search": f"{job['id'][:6]} {job['job']['name']}", "space": job["job"]["space"]["name"]}
    return search | {name: architecture.get(name, "-") for name in names}


def text_of(value: Any) -> str:
    """Return a value as MLflow stores it, cut to the longest that it takes."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def allowed_name(name: str) -> str:
    """Return the name with every character that MLflow refuses replaced."""
    return "".join(c if (c.isascii() and c.isalnum()) or c in "_-./: " else "_" for c in name)[:250]


def unit_tags(quantities: Iterable[Quantity]) -> dict[str, str]:
    """Return the units of metrics, as tags of a run."""
    return {f"nas.unit.{allowed_name(quantity.name)}": quantity.unit for quantity in quantities if quantity.unit}


def _curves_of(task: TaskFacts) -> dict[str, dict[str, str]]:
    """Return event of a training -> names of numbers in it -> names of metrics."""
    speed = f"train/{task.examples}_per_s"
    return {
        "train": {"loss": "train/loss", "lr": "train/lr", **dict.fromkeys(_SPEEDS, speed)},
        "validate": {name: f"validation/{name}_{task.metric.name}" for name in _VALIDATED},
        "rollback": {"lr_scale": "train/rollback_lr_scale"},
    }


def progress_points(records: Iterable[Mapping[str, Any]], task: TaskFacts) -> Iterable[tuple[str, Any, int, int]]:
    """Yield points of the curves as (metric, value, step, time in ms).

    Args:
        records: Lines of `progress.jsonl`.
        task: Task of the networks; curves are named by it.
    """
    curves = _curves_of(task)
    for record in records:
        time_ms, step = int(record["time"] * 1000), finite(record.get("step"))
        named = curves.get(record["event"], {})
        if record["event"] == "validate" and "metric" in record:
            named = {name: f"validation/{name}_{record['metric']}" for name in _VALIDATED}
        for name, curve in named.items():
            if name in record and step is not None:
                yield curve, record[name], int(step), time_ms
        if record["event"] == "system" and step is not None:
            for name, value in record.get("values", {}).items():
                yield allowed_name(f"{SYSTEM}/{name}"), value, int(step), time_ms
        if record["event"] == "ticket" and finite(record.get("epoch")) is not None:
            for name in TICKET:
                if name in record:
                    yield f"{TICKETS}/{name}", record[name], int(record["epoch"]), time_ms
        if record["event"] == "sampler" and finite(record.get("epoch")) is not None:
            for name, prefix in LEARNED.items():
                for key, value in record.get(name, {}).items():
                    yield allowed_name(f"{prefix}/{key}"), value, int(record["epoch"]), time_ms


def described_params(job: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a job that have a value, and the environment that it ran in, as parameters."""
    tree = {key: value for key, value in job["job"].items() if key not in ("name", "tracking")}
    tree |= {"environment": job.get("environment", {}), "espalier": job.get("espalier")}
    return {allowed_name(name): text_of(value) for name, value in flatten(tree).items() if value is not None}


def dataset_of(job: Mapping[str, Any]) -> dict[str, str]:
    """Return the data of a job as MLflow describes a data set; the digest is of the settings, not of the examples."""
    data = job["job"].get("data") or {}
    name = data.get("dataset") or Path(data.get("path") or data.get("source") or "data").stem
    source = json.dumps(data, sort_keys=True)
    digest = sha256(source.encode()).hexdigest()[:8]
    return {"name": str(name)[:500], "digest": digest, "source_type": "local", "source": source}


def outcome_metrics(folder: Path) -> dict[str, Any]:
    """Return the numbers of the result of a job."""
    result = read_json(folder / "result.json") or {}
    metrics = {name: result.get(name) for name in ("seconds", "peak_memory_mb", "front_size")}
    metric = task_of_job(folder).metric.name
    metrics[f"test_{metric}"] = result.get("test_quality", result.get("test_accuracy"))
    agreements = read_json(folder / "search" / "proxies.json") or {}
    metrics |= {f"proxy_spearman/{name}": agreement["spearman"][0] for name, agreement in agreements.items()}
    metrics |= (read_json(folder / "ranking.json") or {}).get("metrics", {})
    return metrics | {f"seconds/{stage}": seconds for stage, seconds in (result.get("stages") or {}).items()}


def table_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the rows of a table as the user interface shows it, with numbers short enough to read."""
    data = [[float(f"{v:.6g}") if isinstance(v, float) else v for v in row.values()] for row in rows]
    return {"columns": list(rows[0]) if rows else [], "data": data}


def source_tags(job: Mapping[str, Any] = MappingProxyType({})) -> dict[str, str]:
    """Return the origin of a run: the command, the version of the code, and the user where it is known."""
    tags = {"mlflow.source.name": "nas run", "mlflow.source.type": "LOCAL"}
    if commit := job.get("environment", {}).get("git_commit"):
        tags["mlflow.source.git.commit"] = str(commit)
    with suppress(KeyError, OSError, ImportError):
        tags["mlflow.user"] = getpass.getuser()
    return tags


def created_ms(job: Mapping[str, Any]) -> int:
    """Return the time when a job was made, in the milliseconds of MLflow."""
    return int(datetime.fromisoformat(job["created"]).timestamp() * 1000)


def ended_ms(folder: Path, job: Mapping[str, Any]) -> int:
    """Return the time when a job ended, or was last heard of; the same at every call once it is over."""
    result = read_json(folder / "result.json") or {}
    if (seconds := finite(result.get("seconds"))) is not None:
        return created_ms(job) + int(seconds * 1000)
    told = [path for path in (folder / "progress.jsonl", folder / "result.json") if path.exists()]
    return int(told[0].stat().st_mtime * 1000) if told else created_ms(job)


def status_of(folder: Path, *, final: bool) -> str:
    """Return the status of the run of a job; without a result it runs, or has failed or was killed."""
    result = read_json(folder / "result.json")
    if result is None:
        if final and (folder / "ranking.json").exists():  # only training and ranking were wanted
            return "FINISHED"
        events = [line["event"] for line in read_events(folder / "progress.jsonl")[0] if line["event"] != "system"]
        ended = "FAILED" if events[-1:] == ["failed"] else "KILLED"
        return ended if final else "RUNNING"
    return {"finished": "FINISHED", "failed": "FAILED"}.get(result.get("status", ""), "KILLED")


class Links(NamedTuple):
    """Addresses in the MLflow user interface: the ready-made charts of all fronts, and the plain list of runs."""

    charts: str
    runs: str


def links(base: str, experiment_id: str) -> Links:
    """Return addresses of an experiment on the MLflow server at `base`, such as http://127.0.0.1:5000."""
    runs = f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    return Links(charts=f"{runs}&compareRunsMode=CHART&viewStateShareKey={VIEW_KEY}", runs=runs)


def run_link(base: str, experiment_id: str, run_id: str) -> str:
    """Return the address of one run on the MLflow server at `base`."""
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"


def view_state(members: Sequence[Mapping[str, str]], front: Mapping[str, Any]) -> str:
    """Return the charts page of the user interface as MLflow shares it: scatter of the fronts, and parallel
    coordinates.

    MLflow does not document the format; `Links.runs` does not depend on it.

    Args:
        members: The parameters of every member of the fronts that are shown, see `is_in_view`.
        front: Front of a search; its first cost is the horizontal axis.
    """
    task, quantities = task_of(front), member_quantities(front)
    quality = quality_of(quantities, task).name
    costs = _costs_of_view(quantities, quality)
    axes = {"xaxis": {"key": costs[0], "type": "METRIC"}, "yaxis": {"key": quality, "type": "METRIC"}}
    card = {"deleted": False, "isGenerated": False, "metricSectionId": "front"}
    scatter = {**card, "uuid": "scatter", "type": "SCATTER", "runsCountToCompare": 100, **axes}
    parallel = {**card, "uuid": "parallel", "type": "PARALLEL", "runsCountToCompare": 100}
    parallel |= {"selectedParams": _params_of_view(members)[:6], "selectedMetrics": [*costs, quality]}
    section = {"uuid": "front", "name": "Pareto front", "display": True, "isReordered": True, "isGenerated": False}
    section |= {"columns": 1, "cardHeight": 460}  # half the page is too narrow for the names of axes
    state = {
        "searchFilter": "tags.`nas.pareto` = 'true'",
        "orderByKey": f"metrics.`{quality}`",
        "orderByAsc": False,
        "runsHiddenMode": "SHOW_ALL",
        "selectedColumns": [f"metrics.`{name}`" for name in (quality, f"test_{task.metric.name}", *costs)],
        "compareRunCharts": [scatter, parallel],
        "compareRunSections": [section],
        "isAccordionReordered": True,
    }
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()


def _costs_of_view(quantities: Sequence[Quantity], quality: str) -> list[str]:
    """Return the costs that were traded off against the quality, and one that follows from the architecture alone."""
    others = [quantity for quantity in quantities if quantity.name != quality]
    traded = [quantity.name for quantity in others if quantity.optimised and not quantity.maximise]
    measured = [quantity.name for quantity in others if quantity.is_measured_cost]
    computed = [quantity.name for quantity in others if quantity.source == "computed"]
    return list(dict.fromkeys([*(traded or measured[:1]), *computed[-1:]])) or [quality]


def is_in_view(metrics: Collection[str], front: Mapping[str, Any]) -> bool:
    """Return whether a run has the metrics that the charts of a front show.

    Args:
        metrics: Names of its metrics.
        front: Front of the search whose quality and costs are shown.
    """
    quantities = member_quantities(front)
    quality = quality_of(quantities, task_of(front)).name
    return {quality, *_costs_of_view(quantities, quality)} <= set(metrics)


def _params_of_view(members: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the parameters that tell members apart: the search first, then decisions that are active in all.

    Of several spaces the search is enough, since decisions of one name may mean different things in each. Texts of two
    neighbouring axes would run into each other, so that the space never stands beside the search.
    """
    if not members:
        return []
    shared = [name for name in members[0] if all(name in params for params in members)]
    varied = [name for name in shared if len({params[name] for params in members}) > 1]
    first = ["search"] if "search" in varied else []
    if "space" in varied:
        return first or ["space"]
    return first + [name for name in varied if name != "search" and all(params[name] != "-" for params in members)]
