"""Progressive shrinking of a MobileNetV3 supernet on CIFAR-10: as published, with PA&DA, with a kernel split.

    python -m benchmarks.shrinking cifar10.npz --epochs 8 --seeds 3 --output runs/shrinking

The split is one by gradient matching. Every variant trains for the same number of forward and backward passes (a split
takes those of its scoring from them); then NSGA-II searches accuracy on held-out training images against MACs. Printed
is the share of the box from chance to 100 % accuracy and from 0 to the MACs of the largest subnet that the front
dominates. Differences are paired by seed; with few seeds their 95 % intervals (Student's t) are wide. The same command
goes on where an earlier one stopped.
"""

import argparse
import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from nas.search.journal import read_evaluations
from nas.student_interval import student_half
from service.job.building import build_space, data_facts
from service.job.loading import job_of
from service.job.preparation import prepare_folder
from service.run.run import run
from service.run.stages.plan import Plan

_SPLIT = {"rounds": 1, "groups": 2, "repeats": 5, "restart": False, "decisions": ["*.kernel"]}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "progressive shrinking": {},
    "with PA&DA": {"sampler": "path_adaptive", "examples": "importance"},
    "with a kernel split": {"split": _SPLIT},
}
_SPACE = {"stem_width": 16, "first_width": 16, "stage_widths": [24, 48], "strides": [1, 2], "depths": [1, 2]}
_HEAD = {"kernels": [3, 5, 7], "expands": [2, 3, 4], "last_width": 96, "feature_width": 128}


def fields(arguments: argparse.Namespace, variant: str, seed: int) -> dict[str, Any]:
    """Return the job of one variant and seed."""
    name = f"{variant.replace(' ', '-').replace('&', '')}-seed{seed}"
    return {
        "name": name,
        "seed": seed,
        "data": {"source": "npz", "path": str(arguments.data), "image_size": 16, "validation_fraction": 0.1},
        "space": {"name": "small_mobilenet_v3", "options": {**_SPACE, **_HEAD}},
        "train": {
            "schedule": "progressive_shrinking",
            "epochs": arguments.epochs,
            "batch_size": 128,
            "lr": 0.2,
            **VARIANTS[variant],
        },
        "search": {
            "searcher": "nsga2",
            "evaluations": arguments.evaluations,
            "population": 20,
            "objectives": ["accuracy", "macs"],
            "calibration_examples": 500,
        },
        "tracking": {"enabled": False},
    }


def share_dominated(folder: Path, job_fields: dict[str, Any]) -> float:
    """Train and search one job, and measure its front."""
    torch.set_num_threads(1)
    job = job_of(job_fields)
    run(prepare_folder(job, folder), job, lambda event: None, Plan(stages=("train", "search")))
    space = build_space(job)
    most, chance = float(space.costs([space.largest()])["macs"][0]), 100 / data_facts(job.data)["classes"]
    _, evaluations = read_evaluations(folder / "search" / "journal.jsonl")
    found = [evaluation.values for evaluation in evaluations if evaluation.status == "ok"]
    points = [((100 - values["accuracy"]) / (100 - chance), values["macs"] / most) for values in found]
    return float(moocore.hypervolume(np.array(points), ref=np.ones(2)))


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval of a few values."""
    return f"{values.mean():.4f} ± {student_half(values):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of JPEG bytes, as the recipe cifar10 takes it")
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--evaluations", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("runs/shrinking"))
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        started = []
        for seed, variant in product(range(arguments.seeds), VARIANTS):
            job_fields = fields(arguments, variant, seed)
            started.append(
                (variant, seed, pool.submit(share_dominated, arguments.output / job_fields["name"], job_fields))
            )
        for variant, seed, future in started:
            found[variant].append(future.result())
            print(f"{variant}, seed {seed}: {found[variant][-1]:.4f}", flush=True)
    values = {variant: np.array(shares) for variant, shares in found.items()}
    first = next(iter(values.values()))
    table = Table(title=f"Share of the box that the front dominates, {arguments.epochs:g} epochs, {len(first)} seeds")
    for heading in ("training", "mean, 95 % interval", "of each seed", "difference to the first"):
        table.add_column(heading)
    for variant, shares in values.items():
        lead = "" if shares is first else interval(shares - first)
        table.add_row(variant, interval(shares), " ".join(f"{share:.4f}" for share in shares), lead)
    Console(width=130).print(table)
    arguments.output.joinpath("shares.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
