"""The card of an exported network: what it is, its inputs and outputs, its quality and speed, and its origin.

It lies as `card.json` beside the files, and inside those that can hold text. It names no place on this machine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas.data import Data
from nas.export import describe
from nas.hardware.examples import Example
from nas.hardware.onnx_model import input_names
from search_spaces import Architecture, Space
from search_spaces.blocks import Resize
from search_spaces.decoding_space import as_timed
from service import catalogue
from service.export.card_file import EXAMPLE
from service.job.environment import version
from service.job.folder import finite, read_json
from service.job.front_file import member_quantities, read_front_file, read_retrained
from service.job.job import Job
from supernets.tasks import Task

_FOLDERS = {"retrained": "retrain", "scratch": "scratch"}
_VERSIONS = ("python", "espalier", "torch", "timm", "numpy")

_GRAPH = "graph"  # argument of spaces that are made for the graph of the data


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One member of the front of a finished job, with its weights.

    Args:
        folder: The job folder.
        job: Job of the folder.
        member: Entry of `front.json`.
        origin: Kind of its weights: `inherited`, `retrained` or `scratch`.
        space: Space of the network.
        options: Options that its function made it with.
        network: Network with these weights.
        data: Data of the job.
        task: Task that the network was trained for.
        inputs: Example inputs, each [N, ...].
        output: Output of the network for them, [N, ...].
        formats: Names of the formats that are written.
    """

    folder: Path
    job: Job
    member: Mapping[str, Any]
    origin: str
    space: Space
    options: Mapping[str, Any]
    network: nn.Module
    data: Data
    task: Task
    inputs: Example
    output: Tensor
    formats: Sequence[str] = ()


def card_of(subject: Subject) -> dict[str, Any]:
    """Return what is known about an exported network, ready for JSON."""
    member, space, data, metric = subject.member, subject.space, subject.data, subject.task.metric
    architecture = space.architecture(member["architecture"])
    return {
        "card": 1,
        "key": member["key"],
        "architecture": architecture.to_json(),
        "space": {
            "name": space.name,
            "function": _function(subject.job.space.name),
            "options": _placeless(subject.options),
            **_left_out(subject.job.space.name),
            **_precision(subject.job),
        },
        **_inputs(subject),
        "output": {**describe(["output"], [subject.output])[0], **data.targets},
        "metric": {"name": metric.name, "unit": metric.unit},
        metric.name: _quality(subject),
        "costs": _costs(space, architecture),
        "measured": _measured(subject, architecture),
        "provenance": {**_provenance(subject.folder), "data": {"name": data.name, "fingerprint": data.fingerprint}},
        "use": use_of(subject.formats, input_names(len(subject.inputs))),
    }


def _function(name: str) -> str:
    """Return the place of the function of a space, as ``module:function``."""
    return catalogue.SPACES[name].target if name in catalogue.SPACES else name


def _precision(job: Job) -> dict[str, Any]:
    """Return how the bits of the space were decided; nothing where it has none."""
    config = job.space.precision
    return {} if config is None else {"precision": asdict(replace(config, start=None))}


def _left_out(name: str) -> dict[str, Any]:
    """Return what the space was made with and no card can hold, by name."""
    return {"left_out": [_GRAPH]} if _GRAPH in catalogue.parameters("space", name) else {}


def _placeless(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options whose files are given by their names alone, such as a checkpoint that training began with."""
    files = (name for name, value in options.items() if isinstance(value, str) and Path(value).is_absolute())
    return {**options, **{name: Path(options[name]).name for name in files}}


def _inputs(subject: Subject) -> dict[str, Any]:
    """Return the one `input` with the preparation of raw values, or several `inputs`."""
    lengths = [one.lengths for one in subject.space.inputs]
    described = describe(input_names(len(subject.inputs)), subject.inputs, lengths)
    preprocessing = dict(subject.data.preprocessing)
    if "image_size" in subject.data.facts:
        own = {layer.size for layer in subject.network.modules() if isinstance(layer, Resize)}
        resized = sorted(own - {subject.data.facts["image_size"]})
        preprocessing["resized_inside_to"] = resized[0] if resized else None
    if len(described) == 1:
        return {"input": {**described[0], **preprocessing}}
    return {"inputs": described, "preprocessing": preprocessing}


def use_of(formats: Iterable[str], inputs: Sequence[str]) -> dict[str, str]:
    """Return the code that opens the files of some formats, by the name of the file."""
    feed = ", ".join(f"'{name}': {name}" for name in inputs)
    listed = [one for name, one in catalogue.EXPORT_FORMATS.items() if name in set(formats)]
    opened = {one.file: one.opened_by.format(feed=feed, inputs=", ".join(inputs)) for one in listed}
    return {
        **opened,
        EXAMPLE: "numpy.load('example.npz'): inputs and the output that every exact file must give for them",
    }


def _quality(subject: Subject) -> dict[str, Any]:
    """Return the metric of the task on the validation and the test split, with the weights that are exported."""
    member, metric, origin = subject.member, subject.task.metric, subject.origin
    inherited = {"validation": member["values"].get(metric.name), "test": member.get("test_quality")}
    if origin == "inherited":
        return {"weights": origin, "unit": metric.unit, **inherited}
    tuned = read_retrained(subject.folder / _FOLDERS[origin] / member["key"] / "result.json")
    quality = {"validation": tuned["retrained_quality"], "test": tuned["retrained_test_quality"]}
    return {"weights": origin, "unit": metric.unit, **quality, "epochs": tuned["epochs"], "before": inherited}


def _costs(space: Space, architecture: Architecture) -> dict[str, Any]:
    """Return the costs that follow from the architecture alone: name -> value and unit."""
    costs = space.costs([architecture])
    return {name: {"value": column[0].item(), "unit": costs.units[name]} for name, column in costs.items()}


def _measured(subject: Subject, architecture: Architecture) -> dict[str, Any]:
    """Return measured costs by name with everything that they depend on; empty where nothing was measured of it."""
    if subject.origin == "scratch":
        return {}  # the network that was measured had the sizes of the search
    member, front = subject.member, read_front_file(subject.folder) or {}
    measured = front.get("latency") or {}
    timed = as_timed(subject.space, measured.get("decode"))
    shapes = [list(one.shape_for(architecture)) for one in timed.inputs]
    conditions = {**measured, "input_shape": shapes[0] if len(shapes) == 1 else shapes}
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
