"""Balanced mixtures of supernets on the positions of poolings: do several supernets rank better than one?

    python -m benchmarks.pooling_mixture cifar10_train_jpeg.npz

One, two and four supernets are trained with the same number of steps in all, so four of them are trained a quarter as
long each. Then all 36 positions of the poolings of ResNet-20 are ranked with inherited weights, each in the supernet
that suits it, on 2,000 validation images, with the statistics of batches as published. For every number of supernets
and seed: Kendall's tau against the published accuracies after training alone, the best position by the supernets and
its published accuracy, and the processor time. The multiply-accumulates are a baseline that needs no training.

By default 4,320 steps, which is 30 for every pair of a position and one of four supernets, of 16 images of 16x16 pixels
for the weights and 16 for the assignment. Published with 32x32 pixels on a GPU are 0.14, 0.31 and 0.53. There the
budget grows with the number of supernets.

Source of the accuracies, in `pooling_truths.csv`: Javan et al., Balanced Mixture of SuperNets for Learning the CNN
Pooling Architecture, AutoML-Conf 2023 (PMLR v224), table 6, the mean of three trainings each.

The same command goes on where an earlier one stopped; `--members` and `--seeds` name a part of the rows.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, few_images, table
from nas import Table
from nas.data import Data
from nas.rank_agreement import kendall
from nas.ranking import RankingImages, rank
from search_spaces import Architecture, Space
from search_spaces.families.pooling import pooling
from supernets import Mixture, MixtureConfig, TrainConfig

TRUTHS = Path(__file__).with_name("pooling_truths.csv")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Mixtures of several sizes.

    Args:
        arguments: Of the command line.
        data: Images for training and validation.
        space: The space of the positions.
        percent: Published accuracy of every position.
        names: Their published names: how many layers there are at each resolution.
    """

    arguments: argparse.Namespace
    data: Data
    space: Space
    percent: Mapping[Architecture, float]
    names: Sequence[str]

    def row(self, members: int, seed: int) -> dict[str, Any]:
        """Return what so many supernets come to with a seed."""
        given = self.arguments
        names = ("images", "image_size", "steps", "batch_size", "lr")
        settings = {"data": self.data.fingerprint, "members": members, **{n: getattr(given, n) for n in names}}
        return Row(output=given.output, name=f"mixture{members}", seed=seed, settings=settings).made(self.ranked)

    def ranked(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Train a mixture and rank all positions with it."""
        given, members = self.arguments, row.settings["members"]
        config = TrainConfig(
            mixture=MixtureConfig(members=members),
            epochs=given.steps / max(1, len(self.data.train) // given.batch_size),
            batch_size=given.batch_size,
            lr=given.lr * math.sqrt(given.batch_size / 2 / 128),
            lr_end=given.lr * math.sqrt(given.batch_size / 2 / 128) / 100,  # as published: 0.1 to 0.001
            weight_decay=1e-3,
            warmup_fraction=0.0,
            label_smoothing=0.0,
        )
        supernet = row.trained(lambda: Mixture(self.space, members), config, self.data.train, spent)
        batches = self.data.validation.sequential(250)
        images = RankingImages.of(batches, device=torch.device("cpu"))  # type: ignore[arg-type]
        architectures, true = list(self.percent), np.array(list(self.percent.values()))
        accuracies = rank(supernet, architectures, images)
        best = int(accuracies.argmax())
        return {
            "members": members,
            "kendall": round(kendall(accuracies, true), 4),
            "best": self.names[best],
            "best_published": float(true[best]),
            "mean_accuracy": round(float(accuracies.mean()), 2),
            "accuracies": accuracies.round(2).tolist(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of the training images; the test images lie beside it")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=10_000, help="images for training")
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4320)
    parser.add_argument("--batch-size", type=int, default=32, help="half for the weights, half for the assignment")
    parser.add_argument("--lr", type=float, default=0.1, help="for 128 images; it falls with the root of their number")
    parser.add_argument("--output", type=Path, default=Path("runs/pooling_mixture"))
    given = parser.parse_args()
    data = few_images(given.data, given.images, given.image_size, given.output)
    space = pooling(image_size=given.image_size)
    read = Table.read(TRUTHS, space)
    percent = {a: float(value) for a, value in zip(read.architectures, read.cells["test_acc"])}
    comparison = Comparison(arguments=given, data=data, space=space, percent=percent, names=read.cells["config"])
    show([comparison.row(members, seed) for seed in given.seeds for members in given.members], comparison)


def show(rows: Sequence[Mapping[str, Any]], comparison: Comparison) -> None:
    """Print the mean of every number of supernets, and what the multiply-accumulates alone say."""
    title = f"36 positions of poolings, {comparison.arguments.steps:,} steps in all"
    headings = ("supernets", "seeds", "Kendall's tau", "of each seed", "best position, published", "core minutes")
    shown = table(title, *headings)
    for members in sorted({row["members"] for row in rows}):
        of_it = [row for row in rows if row["members"] == members]
        taus = np.array([row["kendall"] for row in of_it])
        spread = f" ± {taus.std(ddof=1):.3f}" if len(taus) > 1 else ""
        best = f"{np.mean([row['best_published'] for row in of_it]):.2f} %"
        minutes = f"{np.mean([row['processor_s'] for row in of_it]) / 60:.1f}"
        each = " ".join(f"{tau:.3f}" for tau in taus)
        shown.add_row(f"{members}", f"{len(of_it)}", f"{taus.mean():.3f}{spread}", each, best, minutes)
    true = np.array(list(comparison.percent.values()))
    macs = np.asarray(comparison.space.costs(list(comparison.percent))["macs"], float)
    shown.add_row("MACs alone", "", f"{kendall(macs, true):.3f}", "", f"{true[macs.argmax()]:.2f} %")
    Console(width=120).print(shown)
    print(f"published accuracies: mean {true.mean():.2f}, best {true.max():.2f}")


if __name__ == "__main__":
    main()
