"""The card of an exported network: what it is, what goes in and comes out, how good and how fast, where it is from.

It lies as `card.json` beside the files, and inside those that can hold text. Nothing in it names a place on this
machine.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.data import Data
from search_spaces import Architecture, Space
from search_spaces.blocks import Resize
from service import catalogue
from service.job.environment import version
from service.job.folder import finite, read_json
from service.job.front_file import member_quantities, read_front_file, read_retrained
from service.job.job import Job

CARD = "card.json"
EXAMPLE = "example.npz"
_VERSIONS = ("python", "espalier", "torch", "timm", "numpy")
_EARLIER_METRIC = {"name": "accuracy", "unit": "%"}
USE = {
    "model.onnx": "onnxruntime.InferenceSession('model.onnx').run(None, {'input': images}); needs onnxruntime alone",
    "model.int8.onnx": "the same, in 8 bits",
    "model.pt2": "torch.export.load('model.pt2').module()(images); needs torch alone",
    "model.safetensors": "nas.export.load_network('card.json') gives the torch module; needs torch and this package",
    EXAMPLE: "numpy.load('example.npz'): inputs and the logits that every exact file must give for them",
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One member of the front of a finished job, with its weights.

    Args:
        folder: The job.
        job: Of the folder.
        member: Entry of `front.json`.
        origin: `inherited` or `retrained`: which weights the network has.
        space: Of the job.
        options: With which its function made it.
        network: With these weights.
        data: Of the job.
    """

    folder: Path
    job: Job
    member: Mapping[str, Any]
    origin: str
    space: Space
    options: Mapping[str, Any]
    network: nn.Module
    data: Data


def card_of(subject: Subject) -> dict[str, Any]:
    """What is known about an exported network, ready for JSON."""
    member, space, data = subject.member, subject.space, subject.data
    architecture = space.architecture(member["architecture"])
    return {
        "card": 1,
        "key": member["key"],
        "architecture": architecture.to_json(),
        "space": {"name": space.name, "function": _function(subject.job.space.name), "options": dict(subject.options)},
        "input": _input(data, subject.network),
        "output": {
            "name": "output",
            "shape": ["batch", data.facts["classes"]],
            "dtype": "float32",
            **data.targets,
        },
        "accuracy": _accuracy(subject.folder, member, subject.origin),
        "costs": _costs(space, architecture),
        "measured": _measured(subject.folder, member, space, architecture),
        "provenance": {**_provenance(subject.folder), "data": {"name": data.name, "fingerprint": data.fingerprint}},
        "use": USE,
    }


def _function(name: str) -> str:
    """Where the function of a space lies, as ``module:function``."""
    return catalogue.SPACES[name].target if name in catalogue.SPACES else name


def _input(data: Data, network: nn.Module) -> dict[str, Any]:
    size = data.facts["image_size"]
    resized = sorted({layer.size for layer in network.modules() if isinstance(layer, Resize)} - {size})
    return {
        "name": "input",
        "shape": ["batch", data.facts["channels"], size, size],
        "dtype": "float32",
        **data.preprocessing,
        "resized_inside_to": resized[0] if resized else None,
    }


def _accuracy(folder: Path, member: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Top-1 percent on the validation and the test split, with the weights that are exported."""
    inherited = {"validation": member["values"].get("accuracy"), "test": member.get("test_quality")}
    if origin == "inherited":
        return {"weights": origin, "unit": "% top-1", **inherited}
    tuned = read_retrained(folder / "retrain" / member["key"] / "result.json")
    accuracy = {"validation": tuned["retrained_quality"], "test": tuned["retrained_test_quality"]}
    return {"weights": origin, "unit": "% top-1", **accuracy, "epochs": tuned["epochs"], "before": inherited}


def _costs(space: Space, architecture: Architecture) -> dict[str, Any]:
    """What follows from the architecture alone: name -> value and unit."""
    costs = space.costs([architecture])
    return {name: {"value": column[0].item(), "unit": costs.units[name]} for name, column in costs.items()}


def _measured(folder: Path, member: Mapping[str, Any], space: Space, architecture: Architecture) -> dict[str, Any]:
    """Measured costs by name with everything that they depend on; empty where nothing was measured."""
    front = read_front_file(folder) or {}
    shapes = [list(one.shape_for(architecture)) for one in space.inputs]
    conditions = {**(front.get("latency") or {}), "input_shape": shapes[0] if len(shapes) == 1 else shapes}
    found = {}
    for quantity in member_quantities(front):
        value = finite(member["values"].get(quantity.name))
        if quantity.is_measured_cost and value is not None:
            interval = (member.get("intervals") or {}).get(quantity.name)
            found[quantity.name] = {"value": value, "unit": quantity.unit, "interval": interval, **conditions}
    return found


def _provenance(folder: Path) -> dict[str, Any]:
    content = read_json(folder / "job.json") or {}
    environment = content.get("environment", {})
    return {
        "job": content.get("job", {}).get("name"),
        "job_id": content.get("id"),
        "created": content.get("created"),
        "seed": content.get("job", {}).get("seed"),
        "trained_with": {name: environment.get(name) for name in _VERSIONS},
        "exported_with": {"espalier": version(), "torch": torch.__version__},
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def plain(value: Any) -> Any:
    """A tree without infinities and NaN, which JSON does not have: null in their place."""
    if isinstance(value, Mapping):
        return {str(name): plain(below) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [plain(below) for below in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text_of(card: Mapping[str, Any]) -> str:
    """The card in a few lines of Markdown, as a page about the network shows it."""
    (metric, unit), quality = metric_in(card), quality_in(card)
    figures = [
        f"{split} {quality[split]:.2f} {unit}".rstrip()
        for split in ("validation", "test")
        if quality.get(split) is not None
    ]
    lines = [f"**{card['key']}** of {card['space']['name']}, {quality['weights']} weights"]
    lines += [f"{metric}: {', '.join(figures)}"] if figures else []
    lines += [", ".join(f"{name}: {cost['value']:,}" for name, cost in card["costs"].items())] if card["costs"] else []
    for name, measured in card["measured"].items():
        conditions = ", ".join(f"{what} {measured[what]}" for what in _CONDITIONS if measured.get(what) is not None)
        low, high = measured["interval"] or (None, None)
        interval = f" [{low:.4g}, {high:.4g}]" if None not in (low, high) else ""
        lines.append(f"{name}: {measured['value']:.4g}{interval} {measured['unit']} ({conditions})")
    for one in inputs_in(card):
        notes = [f"{name} {one[name]}" for name in ("mean", "std") if name in one]
        notes = [*(one[name] for name in ("scale",) if name in one), *notes] or [one["dtype"]]
        lines.append(f"{one['name']} [{', '.join(map(str, one['shape']))}]: {', '.join(notes)}")
    output = card["output"]
    lines.append(f"output: {output.get('meaning') or ', '.join(map(str, output['shape']))}")
    return "  \n".join(lines)


_CONDITIONS = ("device", "backend", "batch_size", "threads", "precision", "input_shape")


def metric_in(card: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and the unit of what the network of a card is judged by."""
    metric = card.get("metric") or _EARLIER_METRIC
    return metric["name"], metric["unit"]


def quality_in(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return how good the network of a card is: which weights it has, and its metric on `validation` and `test`."""
    return card.get(metric_in(card)[0]) or {}


def inputs_in(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the network of a card takes, in order."""
    return [card["input"]] if "input" in card else card["inputs"]


def read_card(place: Path) -> dict[str, Any] | None:
    """The card in a folder; None where there is none, or one that is no longer readable."""
    try:
        return read_json(place / CARD)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
