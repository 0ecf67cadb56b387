"""A job folder as a run leaves it, made of smooth formulas instead of training."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_spaces.space import Architecture

CREATED = 1_760_000_000
LATENCY = {"name": "latency_ms", "unit": "ms", "maximise": False, "bound": [None, 4.0]}
LATENCY |= {"role": "cost", "source": "measured", "optimised": True}
NOTED = {"maximise": False, "bound": [None, None], "role": "cost", "optimised": False}


def quality(name: str, unit: str) -> dict[str, Any]:
    """The description of a metric of which more is better, as an objective."""
    known = {"name": name, "unit": unit, "maximise": True, "bound": [None, None]}
    return known | {"role": "quality", "source": "measured", "optimised": True}


@dataclass(frozen=True, kw_only=True)
class SyntheticTask:
    """What the networks of a synthetic job are for: names, and numbers that look like it."""

    task: dict[str, Any]
    data: dict[str, Any]
    space: dict[str, Any]
    objectives: list[dict[str, Any]]
    scale: float = 1.0
    own_cost: str | None = None

    @property
    def metric(self) -> str:
        return self.task["metric"]["name"]


CLASSIFICATION = SyntheticTask(
    task={
        "name": "classification",
        "metric": {"name": "accuracy", "unit": "%", "maximise": True},
        "examples": "images",
    },
    data={"source": "digits", "path": None, "dataset": None, "flip": False},
    space={"name": "small_mobilenet_v3", "options": {"depths": [2, 3, 4]}},
    objectives=[quality("accuracy", "%"), LATENCY],
)
REGRESSION = SyntheticTask(
    task={"name": "regression", "metric": {"name": "R2", "unit": "", "maximise": True}, "examples": "patients"},
    data={"source": "own.data:diabetes", "options": {"part": 0.8}},
    space={"name": "own.spaces:mlp", "options": {"depths": [1, 2, 3, 4]}},
    objectives=[
        quality("R2", ""),
        LATENCY,
        {"name": "energy", "unit": "mJ", **NOTED, "source": "measured"},
        {"name": "macs", "unit": "MACs", **NOTED, "source": "computed"},
        {"name": "params", "unit": "weights", **NOTED, "source": "computed"},
    ],
    scale=0.01,
    own_cost="energy",
)
OBJECTIVES = CLASSIFICATION.objectives


def candidate(index: int, of: SyntheticTask = CLASSIFICATION) -> dict[str, Any]:
    """A record of the journal: deeper and wider is slower and better, with a wobble."""
    depth, width, kernel = 1 + index % 4, (0.5, 0.75, 1.0)[index % 3], (3, 5, 7)[index * 7 % 5 % 3]
    architecture = {"stage1.depth": depth, "stage1.width": width, "stage1.block1.kernel": kernel, "fixed": 1}
    if depth > 2:
        architecture["stage1.block3.kernel"] = 3 + 2 * (index % 2)
    size = depth * width * (1 + kernel / 10)
    latency = 0.4 + 0.7 * size + 0.1 * math.sin(kernel * size)
    judged = 99 - 12 / (0.3 + size) + 1.5 * math.sin(3.7 * size + len(architecture) * kernel)
    values = {
        of.metric: judged * of.scale,
        "latency_ms": latency,
        "macs": 1.1e6 * size,
        "params": 52_000 * size,
    }
    intervals = {"latency_ms": [latency * 0.96, latency * 1.05]}
    if of.own_cost is not None:
        values[of.own_cost] = 3 + 2.5 * size
        intervals[of.own_cost] = [2.9 + 2.5 * size, 3.2 + 2.5 * size]
    return {
        "index": index,
        "architecture": architecture,
        "status": "infeasible" if latency > 4 else "ok",
        "values": values,
        "intervals": intervals,
        "reason": "latency_ms above 4" if latency > 4 else None,
        "seconds": 0.2,
    }


def members_of(records: list[dict[str, Any]], of: SyntheticTask = CLASSIFICATION) -> list[dict[str, Any]]:
    """The records that no other beats in quality and latency, as members of the front."""
    best, members = -math.inf, []
    records = list({json.dumps(record["architecture"]): record for record in records}.values())
    for record in sorted((r for r in records if r["status"] == "ok"), key=lambda r: r["values"]["latency_ms"]):
        if record["values"][of.metric] > best:
            best = record["values"][of.metric]
            member = {name: record[name] for name in ("architecture", "values", "intervals")}
            key = Architecture.from_json(record["architecture"]).key
            weights = f"front/{key}.safetensors"
            members.append({"key": key, **member, "test_quality": best - 0.8 * of.scale, "weights": weights})
    return members


def write_json(path: Path, content: Any) -> None:
    """Writes a file of JSON, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def append_lines(path: Path, *records: dict[str, Any]) -> None:
    """Appends lines of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def train_record(step: int, loss: float = 1.0) -> dict[str, Any]:
    """A line of progress, `step` seconds after the job was made."""
    rates = {"lr": 0.1 * 0.99**step, "examples_per_s": 900 + step}
    return {"event": "train", "time": CREATED + step, "phase": "all", "step": step, "epoch": 1, "loss": loss, **rates}


def start_job(
    folder: Path,
    *,
    uri: str | None = None,
    job_id: str = "0f" * 16,
    name: str = "digits-demo",
    of: SyntheticTask = CLASSIFICATION,
) -> Path:
    """A job that has just begun: its description only."""
    job = {
        "name": name,
        "seed": 7,
        "data": of.data,
        "space": of.space,
        "train": {"sampler": "sandwich", "lr": 0.1},
        "search": {"constraints": {}},
        "tracking": {"enabled": True, "uri": uri, "experiment": "espalier"},
    }
    environment = {"python": "3.11.9", "torch": "2.10", "git_commit": "a" * 40}
    created = {"created": "2025-10-09T08:53:20+00:00", "espalier": "0.1.0", "environment": environment}
    write_json(folder / "job.json", {"job": job, "id": job_id, **created})
    write_json(folder / "task.json", of.task)
    return folder


def train(folder: Path, steps: range, of: SyntheticTask = CLASSIFICATION) -> Path:
    """Training progress over these steps, with a validation at the last."""
    append_lines(folder / "progress.jsonl", *(train_record(step, 2.3 * math.exp(-step / 30)) for step in steps))
    reached = {"largest": 91.0 * of.scale, "smallest": 72.5 * of.scale, "random": 84.0 * of.scale}
    last = steps[-1]
    append_lines(folder / "progress.jsonl", {"event": "validate", "time": CREATED + last, "step": last, **reached})
    return folder


def learn(folder: Path, epochs: int = 12) -> Path:
    """What a sampler learned over these epochs."""
    for epoch in range(1, epochs + 1):
        large = 0.2 + 0.5 * epoch / epochs
        probabilities = {"none": (1 - large) / 2, "nor_conv_1x1": (1 - large) / 2, "nor_conv_3x3": large}
        examples = {"effective_fraction": 1 - 0.3 * epoch / epochs, "mean_indicator": 0.5}
        event = {"event": "sampler", "time": CREATED + epoch, "phase": "path_adaptive", "step": 5 * epoch}
        learned = {"epoch": epoch, "probabilities": probabilities, "examples": examples}
        append_lines(folder / "progress.jsonl", event | learned)
    return folder


def search(folder: Path, evaluations: int = 30, of: SyntheticTask = CLASSIFICATION) -> Path:
    """A journal of evaluations, one of them failed, and the hypervolume over them."""
    header = {"journal": 1, "space": {}, "searcher": "nsga2", "objectives": of.objectives, "seed": 7}
    records = [candidate(index, of) for index in range(evaluations)]
    records[5] |= {"status": "failed", "values": {}, "intervals": {}, "reason": "loss was not finite"}
    append_lines(folder / "search" / "journal.jsonl", header, *records)
    curve = [[n, 0.9 - 0.6 / n] for n in range(10, evaluations + 1, 10)]
    write_json(folder / "search" / "hypervolume.json", {"reference": {}, "ideal": {}, "curve": curve})
    members = members_of(records, of)
    for member in members:
        path = folder / member["weights"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(member["key"].encode() * 100)
    latency = {"device": "AMD EPYC", "backend": "torch 2.10", "batch_size": 1, "threads": 1, "precision": "fp32"}
    found = {"task": of.task, "objectives": of.objectives, "members": members, "latency": latency, "dropped": []}
    write_json(folder / "front.json", found)
    return folder


def wide_search(folder: Path, *, evaluations: int, members: int) -> Path:
    """A journal of distinct candidates, the first of which are the front: each costs more than the one before it."""
    records = []
    for index in range(evaluations):
        behind = 0.0 if index < members else 5.0
        latency = 0.5 + 0.01 * (index % members) + behind
        values = {"accuracy": 90 + 0.05 * (index % members), "latency_ms": latency, "macs": 1e6 + index, "params": 5e4}
        architecture = {"stage1.depth": 1 + index % 4, "stage1.width": 0.5 + index % 8 / 8, "number": index}
        record = {"index": index, "architecture": architecture, "status": "ok", "values": values, "reason": None}
        records.append(record | {"intervals": {"latency_ms": [latency - 0.01, latency + 0.01]}, "seconds": 0.2})
    header = {"journal": 1, "space": "small_mobilenet_v3", "searcher": "nsga2", "objectives": OBJECTIVES, "seed": 7}
    append_lines(folder / "search" / "journal.jsonl", header, *records)
    curve = [[n, 0.9 - 0.6 / n] for n in range(50, evaluations + 1, 50)]
    write_json(folder / "search" / "hypervolume.json", {"reference": {}, "ideal": {}, "curve": curve})
    chosen = []
    for record in records[:members]:
        key = Architecture.from_json(record["architecture"]).key
        member = {name: record[name] for name in ("architecture", "values", "intervals")}
        weights = folder / "front" / f"{key}.safetensors"
        weights.parent.mkdir(exist_ok=True)
        weights.write_bytes(key.encode() * 10_000)
        tested = {"test_quality": record["values"]["accuracy"] - 0.8, "weights": f"front/{weights.name}"}
        chosen.append({"key": key, **member, **tested})
    conditions = {"device": "AMD EPYC", "backend": "torch 2.10", "batch_size": 1, "threads": 1, "precision": "fp32"}
    write_json(folder / "front.json", {"objectives": OBJECTIVES, "members": chosen, "latency": conditions})
    return folder


def finish(folder: Path, status: str = "finished", reason: str | None = None) -> Path:
    """The result: the job is over."""
    members = json.loads((folder / "front.json").read_text())["members"] if (folder / "front.json").exists() else []
    best = max((member["test_quality"] for member in members), default=None)
    stages = {"train": 120.0, "search": 30.0, "measure": 9.0, "test": 3.0}
    numbers = {"seconds": 162.0, "stages": stages, "peak_memory_mb": 812.5, "front_size": len(members)}
    result = {"status": status, "reason": reason, **numbers, "test_quality": best, "hypervolume": 0.89}
    write_json(folder / "result.json", result)
    return folder


def complete_job(folder: Path, *, of: SyntheticTask = CLASSIFICATION, **start: Any) -> Path:
    """A job that went well from beginning to end, without its report."""
    return finish(search(train(start_job(folder, of=of, **start), range(1, 61), of), of=of))
