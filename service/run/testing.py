"""The front of a job judged on the test split."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from service.job.folder import write_json
from service.run.batches import EvaluationBatches
from service.run.events import Events
from service.run.weights import save_weights
from supernets import Task


def test_front(
    path: Path,
    *,
    subnet: Callable[[Mapping[str, Any]], nn.Module],
    task: Task,
    batches: EvaluationBatches,
    events: Events,
) -> None:
    """Evaluate every member of a front once on the test split, and keep its weights beside it.

    Args:
        path: `front.json` of the job; what is found is added to it.
        subnet: Gives the calibrated network of an architecture as the front has it.
        task: What networks are judged by.
        batches: Of the data.
        events: Told of progress.
    """
    front = json.loads(path.read_text(encoding="utf-8"))
    members = front["members"]
    (path.parent / "front").mkdir(exist_ok=True)
    for number, member in enumerate(members):
        events.progress(number, len(members))
        if "test_quality" in member:
            continue
        network = subnet(member["architecture"])
        member["weights"] = f"front/{member['key']}.safetensors"
        save_weights(network, path.parent / member["weights"])
        member["test_quality"] = task.evaluate(network, batches.test()).value
    front["examples"] = batches.sizes()
    write_json(path, front)
    events.progress(len(members), len(members))
