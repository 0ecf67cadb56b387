"""Samplers for a supernet of vision transformers on CIFAR-10, with one budget: uniform, ShiftNAS and the sandwich.

    python -m benchmarks.vit_cifar10 cifar10_train_jpeg.npz

Network, optimizer and images are those of the recipe `vit_cifar10`: `small_autoformer` at 32 pixels. The budget is a
number of passes: in one, every training image goes forward and backward through one network. The methods:

uniform    one random network a step, as AutoFormer is trained;
shift      ShiftNAS: one a step, of costs whose networks are least trained;
sandwich   the largest, a random one and the smallest in every step, the latter two taught by the first: as many passes,
           but a third of the steps;
uniform3   three random networks a step, as many steps as the sandwich. It is not among the defaults.

A pass of the sandwich costs more, since a third of them are those of the largest network; the last column has the
processor time. Judged on test images, with inherited weights: the smallest network, that of middle choices, the
largest, and the best of 16 random ones and these three by 1,500 validation images. `ranking` is Kendall's tau of the
first random networks on the validation images with test accuracies of the same networks, each trained alone from fresh
weights for `--alone-epochs`: a short training, so it is a check and no truth. Means over seeds have 95 % intervals
(Student's t), and so have the differences from `uniform`, which are paired by seed; with few seeds they are wide.

The test split is the file beside the training file, or `--test`; without one a fifth of the images is held out. The
defaults take about 55 minutes of one core: 4 to 5 for each of nine trainings, 1 to 2 for each network alone. The same
command goes on where an earlier one stopped; `--methods` and `--seeds` name a part of the rows.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, fresh, table
from benchmarks.supertickets import column, interval
from nas.data import Data, load_data
from nas.rank_agreement import kendall
from nas.retraining import train_from_scratch
from search_spaces import Architecture, Space
from service.job.building import build_space, build_task
from service.job.job import Job
from service.job.loading import load_job
from supernets import TrainConfig, calibrate
from supernets.training import TrainingData

RECIPE = "vit_cifar10"
METHODS: Mapping[str, tuple[str, int]] = {
    "uniform": ("uniform", 1),
    "shift": ("shift", 1),
    "sandwich": ("sandwich", 3),
    "uniform3": ("uniform", 3),
}
"""Name -> sampler, and networks of one step."""
DEFAULTS = ("uniform", "shift", "sandwich")
JUDGED = ("smallest", "middle", "largest", "best")
_RANDOM = 16
_VALIDATION = 1500


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The comparison: job and images.

    Args:
        arguments: Of the command line.
        job: The recipe on these images.
        data: The three splits.
    """

    arguments: argparse.Namespace
    job: Job
    data: Data

    @cached_property
    def space(self) -> Space:
        """The space of the recipe."""
        return build_space(self.job)

    @cached_property
    def candidates(self) -> dict[str, Architecture]:
        """Networks that are judged on validation images."""
        middle = self.space.decode(self.space.choice_counts // 2)
        generator = np.random.default_rng(0)
        drawn = {f"random{i}": self.space.sample(generator) for i in range(_RANDOM)}
        return {"smallest": self.space.smallest(), "middle": middle, "largest": self.space.largest(), **drawn}

    def config(self, method: str) -> TrainConfig:
        """Return how a supernet is trained: the same passes, in fewer steps where a step has several networks."""
        sampler, subnets = METHODS[method]
        epochs = self.arguments.passes / subnets
        return replace(self.job.train, sampler=sampler, subnets_per_step=subnets, epochs=epochs)

    def row(self, method: str, seed: int) -> dict[str, Any]:
        """Return what a method comes to with a seed."""
        return self._row(method, seed, self.config(method)).made(self._trained)

    def _row(self, name: str, seed: int, config: TrainConfig) -> Row:
        images, space = self.arguments.images, self.job.space.options
        settings = {"data": self.data.fingerprint, "images": images, "space": space, "train": repr(config)}
        return Row(output=self.arguments.output, name=name, seed=seed, settings=settings)

    @cached_property
    def images(self) -> TrainingData:
        """The training images."""
        count = self.arguments.images
        return self.data.train if count is None else self.data.train.subset(count, seed=0)

    def _trained(self, row: Row, spent: Processor) -> dict[str, Any]:
        config = self.config(row.name)
        supernet = row.trained(fresh(self.space), config, self.images, spent)

        def judge(architecture: Architecture, *, test: bool) -> float:
            return self._judged(calibrate(supernet.extract(architecture), []), test=test)

        validation = {name: judge(one, test=False) for name, one in self.candidates.items()}
        best = max(validation, key=lambda name: validation[name])
        tested = {**self.candidates, "best": self.candidates[best]}
        return {
            "steps": round(config.epochs * self.images.steps(config.batch_size)),
            **{name: round(judge(tested[name], test=True), 2) for name in JUDGED},
            "validation": {name: round(value, 2) for name, value in validation.items()},
            "best_is": best,
        }

    def _judged(self, network: nn.Module, *, test: bool) -> float:
        split = self.data.test if test else self.data.validation.subset(_VALIDATION, seed=0)
        return build_task(self.job).evaluate(network, split.sequential(500)).value

    def alone(self, number: int) -> dict[str, Any]:
        """Return the test accuracy of a random network that is trained alone."""
        config = replace(self.job.train, epochs=self.arguments.alone_epochs)
        architecture = self.candidates[f"random{number}"]

        def learn(row: Row, spent: Processor) -> dict[str, Any]:
            given: dict[str, Any] = {"folder": row.folder / "train", "observer": spent}
            network = train_from_scratch(self.space, architecture, self.images, config, seed=row.seed, **given)
            return {"test": round(self._judged(calibrate(network, []), test=True), 2)}

        return self._row(f"alone{number}", 0, config).made(learn)


def agreement(row: Mapping[str, Any], alone: Sequence[Mapping[str, Any]]) -> float:
    """Return Kendall's tau of inherited accuracies with those of the same networks trained alone."""
    inherited = np.array([row["validation"][f"random{number}"] for number in range(len(alone))])
    return kendall(inherited, np.array([one["test"] for one in alone]))


def show(rows: Sequence[dict[str, Any]], alone: Sequence[Mapping[str, Any]], passes: float) -> None:
    """Print the mean of every method, and its difference from the uniform sampler."""
    judged = (*JUDGED, "ranking") if len(alone) > 2 else JUDGED
    rows = [{**row, "ranking": agreement(row, alone)} if len(alone) > 2 else row for row in rows]
    of_method = {name: [row for row in rows if row["method"] == name] for name in METHODS}
    title = f"CIFAR-10, {passes:g} passes: test accuracy in percent, 95 % intervals over seeds"
    shown = table(title, "method", "seeds", "steps", *judged, "core minutes")
    for name, found in of_method.items():
        if found:
            minutes = f"{np.mean(column(found, 'processor_s')) / 60:.1f}"
            means = (interval(column(found, one)) for one in judged)
            shown.add_row(name, f"{len(found)}", f"{found[0]['steps']:,}", *means, minutes)
    Console(width=140).print(shown)
    _show_differences(of_method, judged)


def _show_differences(of_method: Mapping[str, list[dict[str, Any]]], judged: Sequence[str]) -> None:
    plain = {row["seed"]: row for row in of_method["uniform"]}
    shown = table("difference from uniform, paired by seed", "method", *judged)
    for name, found in of_method.items():
        both = [row for row in found if row["seed"] in plain and name != "uniform"]
        if both:
            gains = (column(both, one) - column([plain[row["seed"]] for row in both], one) for one in judged)
            shown.add_row(name, *map(interval, gains))
    if shown.row_count:
        Console(width=140).print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of the training images")
    parser.add_argument("--test", type=Path, help="npz of the test images, where they do not lie beside")
    parser.add_argument("--methods", nargs="+", default=list(DEFAULTS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--passes", type=float, default=4, help="over the training images, of all networks together")
    parser.add_argument("--images", type=int, help="training images; all by default")
    parser.add_argument("--alone", type=int, default=6, help="random networks that are trained alone, up to 16")
    parser.add_argument("--alone-epochs", type=float, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/vit_cifar10"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    sets = [f"data.path={given.data.resolve()}"]
    sets += [] if given.test is None else [f"data.test_path={given.test.resolve()}"]
    job = load_job(RECIPE, sets)
    trial = Trial(arguments=given, job=job, data=load_data(job.data, device=torch.device("cpu")))
    rows = [trial.row(method, seed) for seed in given.seeds for method in given.methods]
    show(rows, [trial.alone(number) for number in range(given.alone)], given.passes)


if __name__ == "__main__":
    main()
