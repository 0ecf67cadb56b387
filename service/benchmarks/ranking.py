"""`nas benchmark ranking`: it trains supernets and measures how well their subnets are ranked.

Every method and seed is an ordinary job in a folder of its own below the output. Finished work there is not repeated,
so the same command resumes where it stopped, and a command with more methods, seeds or architectures adds to it.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nas.benchmarks.method_comparison import Ranked, compare
from nas.rank_agreement import kendall, spearman, top_precision
from search_spaces import Space
from service import catalogue
from service.benchmarks import ranking_run
from service.benchmarks.proxy_benchmark import BASELINES, TableRequest, Truth, read_truth
from service.benchmarks.ranking_methods import (
    METHODS,
    Method,
    chosen_methods,
    for_all,
    for_one,
    passes,
    stages,
    with_budget,
    with_steps_per_path,
)
from service.benchmarks.ranking_run import Judging, Run
from service.benchmarks.ranking_workers import in_processes
from service.errors import InvalidJob
from service.job import splits
from service.job.building import build_space, data_source
from service.job.checks import require_supernet_space
from service.job.files import job_file, read_fields
from service.job.folder import read_json, write_json
from service.job.job import Job
from service.job.loading import job_of
from service.job.observer import Observer
from service.job.preparation import prepare_folder
from service.run.events import stage_seconds
from service.run.score import data_fields
from service.tracking import sync
from supernets.samplers.prior import Prior

TOP_PERCENT = 5.0
UNTRAINED_PRIOR = "prior untrained"
"""A control: how probable the choices are for the sampler `prior`, of which nothing is trained."""
_PUBLISHED_TRAINING = {
    **{"lr": 0.05, "weight_decay": 2.5e-4, "batch_size": 256, "clip_norm": 5.0},
    **{"label_smoothing": 0.0, "warmup_fraction": 0.0, "nesterov": False, "decayed": "all"},
}
"""Of PA&DA on NAS-Bench-201; for jobs that no recipe describes."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The request of a command line to compare methods.

    Attributes:
        source: Recipe, file or folder of the job that is trained by every method; None for the published settings.
        space: Name of the space, where it is not that of the source.
        data: File or folder of images, where they are not those of the source.
        sets: Settings ``path=value`` of all jobs, or ``method:path=value`` of those of one method.
        table: Table of true accuracies; its `sample` is the number of architectures to rank.
        methods: Names, joined by commas.
        seeds: Trainings of each method.
        epochs: Budget in passes over the training images with one subnet a step.
        passes: Budget in forward and backward passes.
        per_path: Whether methods with splits train each choice as often as the others do, which costs more passes.
        judging: How accuracies are measured.
        output: Folder of all jobs.
    """

    source: str | None = None
    space: str | None = None
    data: Path | None = None
    sets: Sequence[str] = ()
    table: TableRequest
    methods: str
    seeds: int = 3
    epochs: float | None = None
    passes: int | None = None
    per_path: bool = False
    judging: Judging
    output: Path


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The checked plan of all trainings.

    Attributes:
        base: The job that all methods share.
        space: Its space.
        truth: The architectures and their true accuracies.
        runs: One for each method and seed, seed by seed.
        judging: How accuracies are measured.
        output: Folder of all jobs.
    """

    base: Job
    space: Space
    truth: Truth
    runs: list[Run]
    judging: Judging
    output: Path


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result of the comparison.

    Attributes:
        plan: Plan that was carried out.
        ranked: Ranking quality of methods and baselines.
        costs: Method -> passes, seconds of training and of evaluation, and the agreement of its ranking with that by
            number of parameters, each the mean over seeds.
    """

    plan: Plan
    ranked: Mapping[str, Ranked]
    costs: Mapping[str, Mapping[str, float]]


# ---- planning -----------------------------------------------------------------------------------------------------


def plan(request: Request) -> Plan:
    """Return the plan of a request; nothing is trained yet, but every folder is prepared.

    Raises:
        InvalidJob: Something cannot be done; it lists all mistakes of the job.
    """
    methods, fields, sets = chosen_methods(request.methods), _fields(request), for_all(request.sets)
    base = job_of(fields, sets)
    require_supernet_space(base)
    sets += _published_supernet(base)
    base = job_of(fields, sets)
    space = build_space(base)
    truth = _truth(request.table, space, base.seed)
    epoch_steps = _epoch_steps(base)
    epochs = _epochs(request, base, epoch_steps)
    options = catalogue.parameters("space", base.space.name)
    jobs = {name: job_of(fields, [*sets, *for_one(request.sets, name, options)]) for name in methods}
    _check_output(request.output)
    runs = []
    for seed in range(base.seed, base.seed + request.seeds):
        for name, job in jobs.items():
            method, label = METHODS[name], f"{name.replace('+', '-')}-seed{seed}"
            seeded = with_budget(replace(job, seed=seed, name=f"{space.name}-{label}"), method, space, epochs)
            if request.per_path and seeded.train.split is not None:
                wanted = _steps_per_path(base, space, epochs, epoch_steps)
                seeded = with_steps_per_path(seeded, method, space, epoch_steps, wanted)
            _check_split(name, seeded, space, epoch_steps)
            folder = prepare_folder(seeded, request.output / label)
            spent = passes(seeded, method, space, epoch_steps)
            ways = stages(seeded, method, space, epoch_steps)
            runs.append(Run(method=name, job=seeded, folder=folder, passes=spent, stages=ways))
    return Plan(base=base, space=space, truth=truth, runs=runs, judging=request.judging, output=request.output)


def _steps_per_path(base: Job, space: Space, epochs: float, epoch_steps: int) -> float:
    """Return how many steps train each choice where one random subnet a step is trained."""
    single = Method("", {})
    alone = with_budget(replace(base, train=replace(base.train, split=None)), single, space, epochs)
    return stages(alone, single, space, epoch_steps).per_path


def _check_split(method: str, job: Job, space: Space, epoch_steps: int) -> None:
    if job.train.split is None:
        return
    try:
        splits.budget(job.train, space, epoch_steps)
    except ValueError as error:
        raise InvalidJob([f"{method}: {error}; set it with: --set {method}:train.split.repeats=…"]) from error


def _fields(request: Request) -> dict[str, Any]:
    """Return the job that all methods share, as nested mappings."""
    try:
        published: dict[str, Any] = {"train": _PUBLISHED_TRAINING}
        fields = read_fields(job_file(request.source)) if request.source else published
    except ValueError as error:
        raise InvalidJob([str(error)]) from error
    fields = {**fields, "name": "ranking"}
    if request.space and request.space != (fields.get("space") or {}).get("name"):
        fields["space"] = {"name": request.space}
    if "space" not in fields:
        raise InvalidJob(["--space: must be given unless a job is named; see: nas list space"])
    if request.data:
        fields["data"] = {**(fields.get("data") or {}), **data_fields(request.data)}
    if "data" not in fields and not any(setting.startswith("data.") for setting in request.sets):
        raise InvalidJob(["--data: must be given unless a job is named; a supernet is trained on images"])
    return fields


def _published_supernet(job: Job) -> list[str]:
    """Return the setting by which norms of operations have no weights, as published; none where the job sets it."""
    takes = catalogue.parameters("space", job.space.name)
    free = "shared_affine" in takes and "shared_affine" not in job.space.options
    return ["space.options.shared_affine=false"] if free else []


def _truth(request: TableRequest, space: Space, seed: int) -> Truth:
    truth = read_truth(request, space, seed)
    there = len(truth.rows.architectures)
    if request.sample is not None and there < request.sample:
        raise InvalidJob([f"--archs: {request.path} has {there:,} distinct architectures, got {request.sample:,}"])
    return truth


def _epoch_steps(job: Job) -> int:
    """Return the number of batches of one epoch; no image is decoded for that."""
    return max(1, data_source(job.data).sizes["train"] // job.train.batch_size)


def _epochs(request: Request, base: Job, epoch_steps: int) -> float:
    if request.epochs is not None and request.passes is not None:
        raise InvalidJob(["give one of --epochs and --budget, got both"])
    if request.passes is not None:
        return request.passes / epoch_steps
    return base.train.epochs if request.epochs is None else request.epochs


def _check_output(output: Path) -> None:
    """Refuse a folder in which something else lies."""
    if output.exists() and not output.is_dir():
        raise InvalidJob([f"--output: {output} is a file; must be a folder"])
    known = output / "benchmark.json"
    if output.is_dir() and any(output.iterdir()) and not known.exists():
        raise InvalidJob([f"--output: {output} has other files in it; must be a new folder or that of a benchmark"])
    if not known.exists():
        write_json(known, {"id": uuid.uuid4().hex, "created": datetime.now(UTC).isoformat(timespec="seconds")})


# ---- performing ---------------------------------------------------------------------------------------------------


def perform(plan: Plan, observer: Observer, announce: Callable[[str], None], *, workers: int = 1) -> Comparison:
    """Train and rank what is not done yet, then compare everything.

    Args:
        plan: The plan.
        observer: Receives the progress of each training.
        announce: Receives a line for each training that begins or, in other processes, ends.
        workers: Processes that train at the same time.
    """
    architectures = plan.truth.rows.architectures
    waiting = [run for run in plan.runs if not ranking_run.is_done(run, architectures, plan.judging)]
    for run in plan.runs:
        if run not in waiting:
            finish(plan, run)
    if workers > 1 and len(waiting) > 1:
        for number, run in enumerate(in_processes(waiting, architectures, plan.judging, workers=workers), start=1):
            announce(f"{run.label}: done, {number} of {len(waiting)}")
            finish(plan, run)
    else:
        data = ranking_run.data_of(plan.base) if waiting else None
        for number, run in enumerate(waiting, start=1):
            announce(f"{run.label}: {number} of {len(waiting)}, {run.passes:,} passes")
            assert data is not None
            ranking_run.train_and_rank(run, architectures, plan.judging, data, observer)
            finish(plan, run)
    return compared(plan)


def finish(plan: Plan, run: Run) -> None:
    """Write what a training came to in its folder, and bring MLflow up to date with it."""
    known = ranking_run.accuracies(run, plan.judging)
    percent = np.array([known[a].values["accuracy"] for a in plan.truth.rows.architectures])
    true = plan.truth.percent
    content = {
        "benchmark": (read_json(plan.output / "benchmark.json") or {})["id"],
        "method": run.method,
        "seed": run.job.seed,
        "judging": plan.judging.describe(),
        "truth": str(plan.truth.provenance),
        "metrics": {
            "ranking/kendall": kendall(percent, true),
            "ranking/spearman": spearman(percent, true),
            "ranking/top5_precision": top_precision(percent, true, top_percent=TOP_PERCENT),
            "ranking/architectures": len(percent),
            "ranking/mean_accuracy": float(percent.mean()),
            "ranking/passes": run.passes,
            "ranking/train_seconds": stage_seconds(run.folder).get("train", 0.0),
            "ranking/evaluation_seconds": sum(known[a].seconds for a in plan.truth.rows.architectures),
        },
    }
    status = read_json(run.folder / "tracking.json") or {}
    if content != read_json(run.folder / "ranking.json") or not status.get("synced"):
        ranking_run.write_accuracies(run.folder / "ranking.csv", plan.truth, {"supernet_percent": percent})
        write_json(run.folder / "ranking.json", content)
        sync.sync(run.folder, run.job.tracking, final=True)


def compared(plan: Plan) -> Comparison:
    """Return the ranking quality of all methods, read from the folders."""
    architectures, scores, costs = plan.truth.rows.architectures, {}, {}
    for name in dict.fromkeys(run.method for run in plan.runs):
        runs = [run for run in plan.runs if run.method == name]
        known = {run.job.seed: ranking_run.accuracies(run, plan.judging) for run in runs}
        scores[name] = {seed: np.array([of[a].values["accuracy"] for a in architectures]) for seed, of in known.items()}
        metrics = [(read_json(run.folder / "ranking.json") or {})["metrics"] for run in runs]
        costs[name] = {
            cost: float(np.mean([m[f"ranking/{cost}"] for m in metrics]))
            for cost in ("passes", "train_seconds", "evaluation_seconds")
        }
        params = np.asarray(plan.space.costs(architectures)["params"], float)
        costs[name]["params_kendall"] = float(np.mean([kendall(percent, params) for percent in scores[name].values()]))
    baselines = {name: np.asarray(plan.space.costs(architectures)[name], float) for name in BASELINES}
    baselines[UNTRAINED_PRIOR] = Prior(space=plan.space).log_probabilities(architectures)
    ranked = compare(scores, plan.truth.percent, baselines=baselines, top_percent=TOP_PERCENT, seed=plan.base.seed)
    columns = {f"{name} seed {seed}": column for name, of in scores.items() for seed, column in of.items()}
    ranking_run.write_accuracies(plan.output / "accuracies.csv", plan.truth, {**baselines, **columns})
    return Comparison(plan=plan, ranked=ranked, costs=costs)


def settings(plan: Plan) -> dict[str, Any]:
    """Return the common settings of all methods of a comparison, for the log."""
    return {
        "space": plan.space.name,
        "space_options": json.dumps(plan.base.space.options),
        "methods": ",".join(dict.fromkeys(run.method for run in plan.runs)),
        "seeds": len({run.job.seed for run in plan.runs}),
        "architectures": len(plan.truth.percent),
        "truth": str(plan.truth.provenance),
        **plan.judging.describe(),
    }
