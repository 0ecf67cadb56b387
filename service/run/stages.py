"""What each stage of a job does: train, search, measure, test."""

import json
import os
import resource
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from nas.hardware import Measurement, MeasurementFailed
from nas.objectives import top1_percent
from nas.search.journal import Evaluation, read_evaluations
from nas.search.pareto import hypervolume, pareto_front
from nas.search.reachable import nearest_found
from search_spaces import Architecture
from service.errors import InvalidJob
from service.job import samplers, splits
from service.job.environment import environment
from service.job.folder import write_json
from service.report import job_report
from service.run.context import EVALUATION_BATCH, Work, save_weights
from service.run.events import stage_seconds
from service.run.front import FinalFront
from service.run.search import SearchStage
from supernets import SplitConfig, Supernet, calibrate, phases, train, train_few_shot
from supernets.estimate import Estimate


def train_supernet(work: Work) -> None:
    """Train the supernet of the job, unless another job's is searched."""
    done = work.folder / "supernet.safetensors"
    if done.exists() or work.supernet_from is not None:
        return
    if work.job.train.split is not None:
        work.supernet = _train_parts(work, work.job.train.split)
    else:
        train(
            work.supernet,
            phases(work.space, work.job.train, samplers.maker(work.job.train)),
            work.data.train,
            work.job.train,
            seed=work.job.seed,
            folder=work.folder / "train",
            observer=work.recorder,
            validate=partial(_validate, work),
            processes=work.siblings,
        )
    if work.siblings.is_first:
        temporary = done.with_suffix(".tmp")
        work.supernet.save(temporary)
        os.replace(temporary, done)


def _train_parts(work: Work, split: SplitConfig) -> Supernet:
    """Train with splits between stages."""
    try:
        splits.budget(work.job.train, work.space, work.data.train.steps(work.job.train.batch_size))
    except ValueError as error:
        raise InvalidJob([str(error)]) from error
    return train_few_shot(
        work.supernet,
        splits.part_phases(work.job.train),
        work.data.train,
        work.job.train,
        split,
        seed=work.job.seed,
        folder=work.folder / "train",
        observer=work.recorder,
        validate=partial(_validate, work),
        processes=work.siblings,
    )


def _validate(work: Work, supernet: Supernet) -> dict[str, float]:
    """Validation accuracy of the largest, the smallest and one random architecture, on up to 1,000 images."""
    sample = work.data.validation.subset(min(1000, len(work.data.validation)), seed=0)
    named = {
        "largest": supernet.space.largest(),
        "smallest": supernet.space.smallest(),
        "random": supernet.space.sample(np.random.default_rng(0)),
    }
    accuracies = {}
    for name, architecture in named.items():
        subnet = calibrate(supernet.extract(architecture), work.calibration_batches(1000))
        accuracies[name] = top1_percent(subnet, sample.sequential(EVALUATION_BATCH))
    return accuracies


def search(work: Work) -> None:
    """Search the supernet; the journal holds what was evaluated."""
    work.require_supernet()
    evaluations = SearchStage(work).evaluations()
    write_json(
        work.folder / "search" / "hypervolume.json",
        hypervolume(evaluations, work.problem.directions).to_json(),
    )
    for warning in work.proxies.report(evaluations):
        work.recorder({"event": "warning", "time": time.time(), "message": warning})
    if not pareto_front(evaluations, work.problem.directions):
        reasons = sorted({e.reason or "" for e in evaluations}) or ["the searcher found none within them"]
        reason = nearest_found(evaluations, work.problem.bounds) or reasons[0]
        raise InvalidJob([f"no candidate of {len(evaluations)} kept every limit and could be evaluated: {reason}"])


def measure(work: Work) -> None:
    """Measure the latency of the best again, and keep who is non-dominated and within the limits then."""
    if (work.folder / "front.json").exists():
        return
    _, evaluations = read_evaluations(work.folder / "search" / "journal.jsonl")
    most = round(work.job.search.remeasured_share * work.job.search.evaluations)
    final = FinalFront(
        problem=work.problem,
        measure=partial(_measured_again, work),
        table=work.table,
        observer=work.recorder,
        most=most,
    )
    kept, dropped = final.settle(evaluations)
    write_json(
        work.folder / "front.json",
        {
            "objectives": work.problem.describe(),
            "space": work.space.describe(),
            "decisions": [decision.name for decision in work.space.decisions],
            "latency": work.latency.meter.conditions(work.device, work.space.example()).to_dict(),
            "members": [_member(evaluation) for evaluation in kept],
            "dropped": [{**_member(evaluation), "reason": evaluation.reason} for evaluation in dropped],
        },
    )


def _measured_again(work: Work, architectures: list[Architecture], rounds: int) -> list[Estimate | MeasurementFailed]:
    measured = work.latency.measure_together(architectures, rounds=rounds)
    return [one.latency if isinstance(one, Measurement) else one for one in measured]


def test(work: Work) -> None:
    """Evaluate every member of the front once on the test split, and keep its weights."""
    front = json.loads((work.folder / "front.json").read_text())
    (work.folder / "front").mkdir(exist_ok=True)
    for i, member in enumerate(front["members"]):
        work.recorder({"event": "test", "done": i, "total": len(front["members"])})
        if "test_accuracy" in member:
            continue
        subnet = work.subnets(work.space.architecture(member["architecture"]))
        member["weights"] = f"front/{member['key']}.safetensors"
        save_weights(subnet, work.folder / member["weights"])
        member["test_accuracy"] = top1_percent(subnet, work.data.test.sequential(EVALUATION_BATCH))
    splits_read = {"validation": work.data.validation, "test": work.data.test}
    front["images"] = {name: len(split) for name, split in splits_read.items()}
    write_json(work.folder / "front.json", front)
    work.recorder({"event": "test", "done": len(front["members"]), "total": len(front["members"])})
    job_report.write_report(work.folder)


def summary_of(work: Work) -> dict[str, Any]:
    """The job in numbers."""
    seconds = stage_seconds(work.folder)
    summary: dict[str, Any] = {
        "status": "finished",
        "stages": seconds,
        "seconds": round(sum(seconds.values()), 1),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "environment": environment(),
    }
    front_path, volume_path = work.folder / "front.json", work.folder / "search" / "hypervolume.json"
    if front_path.exists():
        front = json.loads(front_path.read_text())
        members = front["members"]
        summary["front_size"] = len(members)
        summary["test_accuracy"] = job_report.best_by_quality(front).get("test_accuracy") if members else None
    if volume_path.exists():
        summary["hypervolume"] = json.loads(volume_path.read_text())["curve"][-1][1]
    return summary


def _member(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "key": evaluation.architecture.key,
        "architecture": evaluation.architecture.to_json(),
        "values": evaluation.values,
        "intervals": evaluation.intervals,
    }


STAGES: Mapping[str, Callable[[Work], None]] = {
    "train": train_supernet,
    "search": search,
    "measure": measure,
    "test": test,
}
"""In their order."""
