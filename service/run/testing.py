"""The front of a job judged on the test split."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from service.job.folder import read_json, write_json
from service.job.front_file import judged_front
from service.job.outcomes_file import read_outcomes, write_breakdowns, write_outcomes
from service.run.batches import EvaluationBatches
from service.run.events import Events
from service.run.weights import save_weights
from supernets import Task
from supernets.device import judging
from supernets.tasks import Batch, Breakdown, Outcomes

_MOST_GROUPS = 50  # as many metrics as people can tell apart in MLflow


def test_front(
    path: Path,
    *,
    subnet: Callable[[Mapping[str, Any]], nn.Module],
    task: Task,
    batches: EvaluationBatches,
    events: Events,
) -> None:
    """Evaluate every member of a front once on the test split; keep its weights and its outcomes beside it.

    Args:
        path: `front.json` of the job; the results are added to it.
        subnet: Returns the calibrated network of an architecture as the front has it.
        task: Task that judges networks.
        batches: Batches of the data.
        events: Receive the progress.
    """
    front = read_json(path)
    assert front is not None
    members = front["members"]
    (path.parent / "front").mkdir(exist_ok=True)
    judge = Judge(path.parent, task, batches)
    for number, member in enumerate(members):
        events.progress(number, len(members))
        if "test_quality" in member and (path.parent / member.get("weights", "")).is_file():
            continue
        network = subnet(member["architecture"])
        member["weights"] = f"front/{member['key']}.safetensors"
        save_weights(network, path.parent / member["weights"])
        member.update(judge.tested(network, member["key"]))
    front |= {"examples": batches.sizes(), "data_fingerprint": batches.fingerprint()}
    write_json(path, judged_front(front, partial(scores_of, path.parent)))
    events.progress(len(members), len(members))


def _noted(breakdown: Breakdown) -> dict[str, Any]:
    """Return what `front.json` says of a breakdown: numbers, and values of groups where they are few."""
    content = breakdown.to_json()
    few = {name: values for name, values in content["groups"].items() if len(values) <= _MOST_GROUPS}
    return {name: value for name, value in (("test_numbers", content["numbers"]), ("test_groups", few)) if value}


def scores_of(folder: Path, key: str, split: str) -> np.ndarray | None:
    """Return what a member gave for each example of a split, as its files keep it."""
    outcomes = read_outcomes(folder, key, split)
    return None if outcomes is None else outcomes.scores


@dataclass(frozen=True)
class Judge:
    """A judge of networks that keeps their outcomes for single examples in the folder of the job."""

    folder: Path
    task: Task
    batches: EvaluationBatches

    def tested(self, network: nn.Module, key: str) -> dict[str, Any]:
        """Return the quality of a member on the test split, and the numbers that the task reads from its outcomes."""
        tested = self._outcomes(network, key, "test", self.batches.test())
        if tested is None:
            with judging(network):
                return {"test_quality": self.task.evaluate(network, self.batches.test()).value}
        searched = self._outcomes(network, key, "validation", self.batches.validation())
        seen = {"validation": searched, "test": tested}
        names = self.batches.names()
        breakdowns = {name: self.task.breakdown(one, names) for name, one in seen.items() if one is not None}
        write_breakdowns(self.folder, key, breakdowns)
        return {"test_quality": float(tested.scores.mean()), **_noted(breakdowns["test"])}

    def _outcomes(self, network: nn.Module, key: str, split: str, batches: Iterable[Batch]) -> Outcomes | None:
        """Write and return what a member gives for the examples of a split."""
        with judging(network):
            outcomes = self.task.outcomes(network, batches)
        if outcomes is not None:
            write_outcomes(self.folder, key, split, outcomes)
        return outcomes
