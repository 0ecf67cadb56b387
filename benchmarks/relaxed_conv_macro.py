"""TangleNAS on its toy space of convolutions: what the learned architectures are worth in the published table.

    python -m benchmarks.relaxed_conv_macro cifar10_train_jpeg.npz conv_macro_cifar10.csv.gz

A training learns the architecture with entangled weights, by DrNAS and first-order gradients. Beside it, a supernet
trains uniformly drawn subnets for as many passes over the images (SPOS). Then random search and regularized evolution
evaluate a hundred subnets each on 1,000 validation images; these passes come on top. No answer is looked up before it
is chosen. For every method and seed the accuracy of the answer in the table, its percentile there (how many of the
6,561 architectures are worse, those as good counted half), its weights, and the processor time.

By default 40,000 images of 16x16 pixels are shown six times, which takes about 12 minutes of one core for a seed of the
relaxation and 4 for SPOS. Logits learn little from fewer images: with `--images 10000 --epochs 12`, answers are no
better than random ones. The rate of the logits is the published one, 3e-4, times as many as the published training has
more steps. The published budget is `--images 40000 --image-size 32 --epochs 100 --batch-size 128`, for a GPU; published
are 82.5 % for TangleNAS and 81.3 and 81.9 % for SPOS with random and evolutionary search.

The same command goes on where an earlier one stopped; `--methods` and `--seeds` name a part of the rows.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, few_images, fresh, scaled_lr, steps, table
from nas import Journal, Objective, Table
from nas.data import Data
from nas.objectives import Role
from nas.ranking import RankingImages, rank
from nas.search import Problem, search
from nas.searchers.random import Random
from nas.searchers.regularized_evolution import RegularizedEvolution
from search_spaces import Architecture, Space
from search_spaces.families.conv_macro import conv_macro
from supernets import Supernet, TrainConfig
from supernets.estimate import Estimate
from supernets.training.relaxation_config import RelaxationConfig

_PUBLISHED_STEPS = 100 * 40_000 // 64
"""A hundred epochs of four fifths of the training images, in batches of 64 for the weights."""
_POPULATION = 20
_JUDGED = 1000
_SHOWN = (
    ("TangleNAS, DrNAS", "drnas", ""),
    ("TangleNAS, DARTS", "softmax", ""),
    ("TangleNAS, GDAS", "gdas", ""),
    ("SPOS, random search", "spos", "random_"),
    ("SPOS, evolution", "spos", "evolution_"),
)
"""Title of a line, method of its rows, and what the names of its figures begin with."""


class Inherited(Objective):
    """The accuracy of a subnet with inherited weights on the validation images."""

    name, unit, maximise = "accuracy", "%", True
    role: Role = "quality"

    def __init__(self, supernet: Supernet, images: RankingImages) -> None:
        self.supernet, self.images = supernet, images

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return Estimate(float(rank(self.supernet, [architecture], self.images)[0]))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The methods on one table.

    Args:
        arguments: Of the command line.
        data: Images for training and validation.
        space: The space of the table.
        percent: Accuracy of every architecture in the table.
    """

    arguments: argparse.Namespace
    data: Data
    space: Space
    percent: Mapping[Architecture, float]

    @property
    def methods(self) -> Mapping[str, Callable[[Row, Processor], dict[str, Any]]]:
        """Name -> what makes a row of it."""
        relaxed = dict.fromkeys(("drnas", "softmax", "gdas"), self.relaxed)
        return {**relaxed, "spos": self.sampled}

    def row(self, method: str, seed: int) -> dict[str, Any]:
        """Return what a method comes to with a seed."""
        given = self.arguments
        names = ("images", "image_size", "epochs", "batch_size", "lr")
        settings = {"data": self.data.fingerprint, **{name: getattr(given, name) for name in names}}
        settings |= {"evaluations": given.evaluations} if method == "spos" else {"logit_lr": self.logit_lr}
        return Row(output=given.output, name=method, seed=seed, settings=settings).made(self.methods[method])

    @property
    def logit_lr(self) -> float:
        """Learning rate of the logits."""
        given = self.arguments
        if given.logit_lr is not None:
            return float(given.logit_lr)
        return scaled_lr(3e-4, _PUBLISHED_STEPS, steps(given.images, given.batch_size, given.epochs))

    def relaxed(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Learn the architecture with the weights; the answer is the most probable one."""
        relaxation = RelaxationConfig(method=row.name, lr=self.logit_lr)  # type: ignore[arg-type]
        supernet = row.trained(fresh(self.space), self._config(relaxation=relaxation), self.data.train, spent)
        assert supernet.learned is not None
        return self.looked_up("", supernet.learned.architecture(self.space))

    def sampled(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Train random subnets, then search among them in two ways."""
        supernet = row.trained(fresh(self.space), self._config(), self.data.train, spent)
        batches = self.data.validation.subset(_JUDGED, seed=0).sequential(250)
        objective = Inherited(supernet, RankingImages.of(batches, device=torch.device("cpu")))  # type: ignore[arg-type]
        problem = Problem([objective], ["accuracy"], {})
        found: dict[str, Any] = {"train_s": round(spent(), 1)}
        for name, kind in (("random", Random), ("evolution", RegularizedEvolution)):
            searcher = kind(
                self.space, objectives=1, population=_POPULATION, seed=row.seed, violation=problem.exact_violation
            )
            journal = Journal(row.folder / f"{name}.jsonl", {"space": self.space.name})
            done = search(searcher, problem, journal, space=self.space, evaluations=self.arguments.evaluations)
            journal.close()
            best = max(done, key=lambda evaluation: evaluation.values["accuracy"])
            found |= self.looked_up(f"{name}_", best.architecture)
            spent()
        return found

    def _config(self, **more: Any) -> TrainConfig:
        given = self.arguments
        return TrainConfig(
            epochs=given.epochs,
            batch_size=given.batch_size,
            optimizer="adamw",
            lr=given.lr,
            lr_end=given.lr / 3,  # as published: 3e-4 to 1e-4
            label_smoothing=0.0,
            **more,
        )

    def looked_up(self, prefix: str, architecture: Architecture) -> dict[str, Any]:
        """Return what the table says of an answer."""
        accuracy, all_of_them = self.percent[architecture], np.array(list(self.percent.values()))
        below, same = float((all_of_them < accuracy).mean()), float((all_of_them == accuracy).mean())
        found = {
            "accuracy": accuracy,
            "percentile": round(100 * (below + same / 2), 2),
            "params": int(self.space.costs([architecture])["params"][0]),
            "architecture": " ".join(str(architecture[d.name]) for d in self.space.decisions),
        }
        return {prefix + name: value for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of the training images; the test images lie beside it")
    parser.add_argument("table", type=Path, help="csv of all architectures: c1 to c4, k1 to k4, test_acc")
    parser.add_argument("--methods", nargs="+", default=["drnas", "spos"], choices=["drnas", "softmax", "gdas", "spos"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--images", type=int, default=40_000, help="images for training")
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--epochs", type=float, default=6)
    parser.add_argument("--batch-size", type=int, default=128, help="of both halves together")
    parser.add_argument("--lr", type=float, default=1e-3, help="of the weights, by AdamW")
    parser.add_argument("--logit-lr", type=float, help="3e-4 at the published number of steps")
    parser.add_argument("--evaluations", type=int, default=100, help="of each search after SPOS")
    parser.add_argument("--output", type=Path, default=Path("runs/relaxed_conv_macro"))
    given = parser.parse_args()
    data = few_images(given.data, given.images, given.image_size, given.output)
    space = conv_macro(image_size=given.image_size)
    read = Table.read(given.table, conv_macro())
    percent = {space.architecture(a): float(value) for a, value in zip(read.architectures, read.cells["test_acc"])}
    comparison = Comparison(arguments=given, data=data, space=space, percent=percent)
    rows = [comparison.row(method, seed) for seed in given.seeds for method in given.methods]
    show(rows, np.array(list(percent.values())))


def show(rows: Sequence[Mapping[str, Any]], percent: np.ndarray) -> None:
    """Print the mean of every method, and what the table holds."""
    headings = ("method", "seeds", "accuracy in the table", "percentile", "of each seed", "M weights", "core minutes")
    shown = table("answers in the table of conv_macro", *headings)
    for title, method, prefix in _SHOWN:
        if of_it := [row for row in rows if row["method"] == method]:
            accuracies, percentiles, params = (
                np.array([row[prefix + name] for row in of_it]) for name in ("accuracy", "percentile", "params")
            )
            spread = f" ± {accuracies.std(ddof=1):.2f}" if len(of_it) > 1 else ""
            shown.add_row(
                title,
                f"{len(of_it)}",
                f"{accuracies.mean():.2f}{spread}",
                f"{percentiles.mean():.1f}",
                " ".join(f"{value:.1f}" for value in percentiles),
                f"{params.mean() / 1e6:.2f}",
                f"{np.mean([row['processor_s'] for row in of_it]) / 60:.1f}",
            )
    shown.add_row("a random architecture", "", f"{percent.mean():.2f} ± {percent.std():.2f}", "50.0")
    Console(width=140).print(shown)
    marks = (25, 50, 75, 90, 97.5, 100)
    print("percentiles of the table: " + ", ".join(f"{m:g} {np.percentile(percent, m):.2f}" for m in marks))
    print("core minutes of SPOS are those of its training and of both searches")


if __name__ == "__main__":
    main()
