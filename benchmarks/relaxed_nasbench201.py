"""Differentiable search on NAS-Bench-201 for long: who collapses to skip connections, and what the answers are worth.

    python -m benchmarks.relaxed_nasbench201 cifar10_train_jpeg.npz nb201_cifar10.csv.gz

Seven methods learn the cell together with the weights of a small network: three stages of one cell, 8 channels, images
of 16x16 pixels, norms without weights. DARTS of first order, of second order (unrolled), with the amended gradient and
with a Neumann series; GDAS; DrNAS; and DrNAS on entangled convolutions (TangleNAS). Half of the images are for the
weights, half for the logits. For every method and seed: how many of the six edges prefer a skip connection after every
tenth epoch, the accuracy of the answer in the table of the full network, its percentile there, and the processor time.
No answer is looked up before the training has ended.

An epoch is short: 15 steps, which show a tenth of 9,600 images, the tenths in turn; every image is seen six times. A
search that goes on for long over the same data is `--images 960`, all of which every epoch shows: sixty times. The rate
of the logits is the published one, 3e-4, times as many as the published search has more steps (50 epochs of 390), so
that they can move as far. Of architectures that the table lacks, the mean of those with the same function is given.
Published, with the whole network and whole epochs: 94.36 % for TangleNAS and DrNAS; the cell of skip connections alone,
where DARTS ends there, has 54.30 %.

The same command goes on where an earlier one stopped; `--methods` and `--seeds` name a part of the rows.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, ShortEpochs, few_images, fresh, scaled_lr, steps, table
from nas import Table
from nas.data import Data
from search_spaces import Architecture, Space
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import to_cell, unique_key
from service.report.probabilities_figure import decisions_png
from supernets import TrainConfig
from supernets.training.relaxation_config import RelaxationConfig

METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "first": ("DARTS, first order", {"method": "softmax"}),
    "unrolled": ("DARTS, second order", {"method": "softmax", "hypergradient": "unrolled"}),
    "amended": ("Amended-DARTS", {"method": "softmax", "hypergradient": "amended"}),
    "neumann": ("iDARTS, Neumann series", {"method": "softmax", "hypergradient": "neumann"}),
    "gdas": ("GDAS", {"method": "gdas"}),
    "drnas": ("DrNAS", {"method": "drnas"}),
    "tangled": ("TangleNAS, DrNAS", {"method": "drnas"}),
}
"""Name -> title, and settings of the relaxation; `tangled` has another supernet."""
_PUBLISHED_STEPS = 50 * 390
_COLUMN = "c10_test_200"


@dataclass(frozen=True, kw_only=True)
class Published:
    """Accuracies in the table.

    Args:
        percent: Accuracy of each architecture that it has.
    """

    percent: Mapping[Architecture, float]

    @cached_property
    def _alike(self) -> Mapping[str, list[float]]:
        found = defaultdict(list)
        for architecture, value in self.percent.items():
            found[unique_key(architecture)].append(value)
        return found

    def found(self, architecture: Architecture) -> dict[str, Any]:
        """Return accuracy and percentile of an answer; None where the table has nothing with its function."""
        there = architecture in self.percent
        alike = [self.percent[architecture]] if there else self._alike.get(unique_key(architecture), [])
        if not alike:
            return {"accuracy": None, "percentile": None}
        value, every = float(np.mean(alike)), np.array(list(self.percent.values()))
        percentile = 100 * float((every < value).mean() + (every == value).mean() / 2)
        return {"accuracy": round(value, 3), "percentile": round(percentile, 2), "in_table": there}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The methods on one table.

    Args:
        arguments: Of the command line.
        data: Images for training.
        published: What the table says.
    """

    arguments: argparse.Namespace
    data: Data
    published: Published

    def row(self, method: str, seed: int) -> dict[str, Any]:
        """Return what a method comes to with a seed."""
        given = self.arguments
        names = ("images", "image_size", "width", "cells", "epochs", "batch_size", "lr", "terms")
        settings = {"data": self.data.fingerprint, "logit_lr": self.logit_lr}
        settings |= {name: getattr(given, name) for name in names}
        if self.is_shown_in_parts:
            settings["epoch_images"] = given.epoch_images
        return Row(output=given.output, name=method, seed=seed, settings=settings).made(self.learned)

    @property
    def is_shown_in_parts(self) -> bool:
        """Whether an epoch shows a part of the images."""
        given = self.arguments
        return bool(given.epoch_images < given.images)

    @property
    def logit_lr(self) -> float:
        """Learning rate of the logits."""
        given = self.arguments
        if given.logit_lr is not None:
            return float(given.logit_lr)
        images = min(given.images, given.epoch_images)
        return scaled_lr(3e-4, _PUBLISHED_STEPS, steps(images, given.batch_size, given.epochs))

    def learned(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Learn the cell with the weights; the answer is the most probable one."""
        given, settings = self.arguments, METHODS[row.name][1]
        space = self._space(entangled=row.name == "tangled")
        config = TrainConfig(
            relaxation=RelaxationConfig(lr=self.logit_lr, terms=given.terms, **settings),
            epochs=given.epochs,
            batch_size=given.batch_size,
            lr=given.lr,
            lr_end=given.lr / 25,  # as published: 0.025 to 0.001
            weight_decay=3e-4,
            warmup_fraction=0.0,
            label_smoothing=0.0,
        )
        data = ShortEpochs(self.data.train, given.epoch_images) if self.is_shown_in_parts else self.data.train
        supernet = row.trained(fresh(space), config, data, spent)
        assert supernet.learned is not None
        answer = supernet.learned.architecture(space)
        epochs = row.epochs()
        found = {"cell": to_cell(answer), **self.published.found(answer), "skips": skips(epochs)}
        return {**found, "operations": operations(epochs)}

    def _space(self, *, entangled: bool) -> Space:
        given = self.arguments
        sizes = {"width": given.width, "cells": given.cells, "image_size": given.image_size}
        return nasbench201(**sizes, shared_affine=False, entangled=entangled)


def skips(epochs: Mapping[int, Mapping[str, float]]) -> list[int]:
    """Return the number of edges that prefer a skip connection after each epoch."""
    counts = []
    for _, probabilities in sorted(epochs.items()):
        edges: dict[str, dict[str, float]] = defaultdict(dict)
        for name, value in probabilities.items():
            edge, _, operation = name.partition("/")
            edges[edge][operation] = value
        counts.append(sum(max(values, key=lambda name: values[name]) == "skip_connect" for values in edges.values()))
    return counts


def operations(epochs: Mapping[int, Mapping[str, float]]) -> dict[str, list[float]]:
    """Return the mean probability of each operation over the edges, after each epoch."""
    means = defaultdict(list)
    for _, probabilities in sorted(epochs.items()):
        values = defaultdict(list)
        for name, value in probabilities.items():
            values[name.partition("/")[2]].append(value)
        for operation, of_edges in values.items():
            means[operation].append(round(float(np.mean(of_edges)), 4))
    return dict(means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of the training images; the test images lie beside it")
    parser.add_argument("table", type=Path, help=f"csv of architectures: cell or arch_str, and {_COLUMN}")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=9600, help="images for training")
    parser.add_argument("--epoch-images", type=int, default=960, help="those that one epoch shows")
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--width", type=int, default=8, help="channels of the first stage; published are 16")
    parser.add_argument("--cells", type=int, default=1, help="cells of each stage; published are 5")
    parser.add_argument("--epochs", type=float, default=60)
    parser.add_argument("--batch-size", type=int, default=64, help="of both halves together; published are 128")
    parser.add_argument("--lr", type=float, default=0.025, help="of the weights, by SGD")
    parser.add_argument("--logit-lr", type=float, help="3e-4 at the published number of steps")
    parser.add_argument("--terms", type=int, default=1, help="of the Neumann series")
    parser.add_argument("--output", type=Path, default=Path("runs/relaxed_nasbench201"))
    parser.add_argument("--figure", type=Path, help="png of the probabilities of operations by method")
    given = parser.parse_args()
    data = few_images(given.data, given.images, given.image_size, given.output)
    read = Table.read(given.table, nasbench201())
    percent = {a: float(value) for a, value in zip(read.architectures, read.cells[_COLUMN])}
    comparison = Comparison(arguments=given, data=data, published=Published(percent=percent))
    rows = [comparison.row(method, seed) for seed in given.seeds for method in given.methods]
    show(rows, np.array(list(percent.values())))
    if given.figure is not None:
        given.figure.write_bytes(figure(rows))


def figure(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the probabilities of operations over the training, mean over edges and seeds, as a PNG image."""
    curves = {}
    for method, (title, _) in METHODS.items():
        of_it = [row["operations"] for row in rows if row["method"] == method]
        for operation in of_it[0] if of_it else ():
            means = np.mean([row[operation] for row in of_it], axis=0)
            curves[f"{title}/{operation}"] = [(float(epoch), float(mean)) for epoch, mean in enumerate(means, 1)]
    return decisions_png("NAS-Bench-201", curves)


def show(rows: Sequence[Mapping[str, Any]], percent: np.ndarray) -> None:
    """Print the mean of every method, and what the table holds."""
    last = len(rows[0]["skips"])
    marks = [1, *range(10, last, 10), last]
    headings = ("method", *(f"{mark}" for mark in marks), "accuracy", "of each seed", "percentile", "core minutes")
    shown = table("of six edges, those that prefer a skip after so many epochs; answers in the table", *headings)
    for method, (title, _) in METHODS.items():
        if of_it := [row for row in rows if row["method"] == method]:
            counts = np.array([row["skips"] for row in of_it], float).mean(axis=0)
            known = [row for row in of_it if row["accuracy"] is not None]
            means = [
                f"{np.mean([row[name] for row in known]):.1f}" if known else "" for name in ("accuracy", "percentile")
            ]
            each = " ".join("unknown" if row["accuracy"] is None else f"{row['accuracy']:.1f}" for row in of_it)
            minutes = f"{np.mean([row['processor_s'] for row in of_it]) / 60:.1f}"
            shown.add_row(title, *(f"{counts[mark - 1]:.1f}" for mark in marks), means[0], each, means[1], minutes)
    Console(width=140).print(shown)
    marks_of_table = (25, 50, 75, 90, 100)
    quantiles = ", ".join(f"{m} {np.percentile(percent, m):.2f}" for m in marks_of_table)
    print(f"table of {len(percent):,} architectures: mean {percent.mean():.2f}; percentiles: {quantiles}")


if __name__ == "__main__":
    main()
