"""One ResNet-20 for all bits (EQ-Net): what 2, 4 and 8 bits cost in accuracy, per tensor and per channel.

    python -m benchmarks.precision cifar10_train_jpeg.npz

For every seed, ResNet-20 is first trained with floating point numbers. Then quantised networks begin with its weights:
with one scale for a weight and with one for each output channel, and per tensor without and with the regularisation of
the distribution of weights. Each is one training of all bits together, by progressive guidance. Accuracies are those of
2, 4 and 8 bits in all layers but the first and the last, which have 8, on 2,000 images that are not trained on, with
batch norms calibrated for each. Published figures are absolute; ours are compared by their differences to the float
network of the same seed, whose accuracy is printed beside.

By default 10,000 images of 16x16 pixels, 30 epochs without bits and 15 with bits, of which each step runs three
networks: about 25 core minutes for a seed. Published are 50,000 images of 32x32 pixels and 120 epochs.

Source of the published figures: Xu et al., EQ-Net, arXiv 2308.07650, tables 3 and 4.

The same command goes on where an earlier one stopped; `--methods` and `--seeds` name a part of the rows.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.cifar_resnet import resnet20
from benchmarks.pretrained import Processor
from benchmarks.relaxed_rows import Row, few_images, fresh, table
from nas.data import Data
from search_spaces import Architecture, Space
from search_spaces.inputs import images
from search_spaces.precision import PrecisionConfig, with_precision
from supernets import Classification, Supernet, TrainConfig
from supernets.calibration import calibrated_subnet
from supernets.training.weight_shape import WeightShapeConfig

BITS = (2, 4, 8)
METHODS = {"tensor": ("tensor", True), "channel": ("channel", True), "tensor_plain": ("tensor", False)}
"""Name of a method -> granularity, and whether the distribution of weights is regularised."""
PUBLISHED = {
    "tensor": "87.2 92.4 92.5 (table 4)",
    "channel": "88.3 91.9 92.5 (table 4)",
    "tensor_plain": "86.4 at 2 bits, mean 90.3; regularised 87.3 and 90.7 (table 3)",
}
_CLASSES, _BATCH = 10, 250


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Trainings of one network with all bits.

    Args:
        arguments: Of the command line.
        data: Images for training and validation.
        space: The space of the one network.
    """

    arguments: argparse.Namespace
    data: Data
    space: Space

    def float_row(self, seed: int) -> Row:
        """Return the training without bits."""
        given = self.arguments
        names = ("images", "image_size", "float_epochs", "batch_size", "lr")
        settings = {"data": self.data.fingerprint, **{name: getattr(given, name) for name in names}}
        return Row(output=given.output, name="float", seed=seed, settings=settings)

    def bits_row(self, method: str, seed: int) -> Row:
        """Return a training with bits."""
        given = self.arguments
        settings = {**self.float_row(seed).settings, "epochs": given.epochs, "bits_lr": given.bits_lr}
        return Row(output=given.output, name=method, seed=seed, settings=settings)

    def config(self, epochs: float, lr: float, **more: Any) -> TrainConfig:
        """Return the settings of a training; those with bits are trained by Adam, as published."""
        return TrainConfig(epochs=epochs, lr=lr, batch_size=self.arguments.batch_size, **more)

    def without_bits(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Train the network without bits, and judge it."""
        supernet = self._float(row, spent)
        return {"accuracies": [self._accuracy(supernet, supernet.space.largest())]}

    def _float(self, row: Row, spent: Processor) -> Supernet:
        config = self.config(self.arguments.float_epochs, self.arguments.lr, weight_decay=5e-4)
        return row.trained(fresh(self.space), config, self.data.train, spent)

    def with_bits(self, row: Row, spent: Processor) -> dict[str, Any]:
        """Train all bits, and judge each of them in all layers."""
        granularity, shaped = METHODS[row.name]
        bits = PrecisionConfig(weights=BITS, activations=BITS, granularity=granularity)  # type: ignore[arg-type]
        space, trained = with_precision(self.space, bits), self._float(self.float_row(row.seed), spent)

        def begun() -> Supernet:
            supernet = Supernet(space)
            supernet.network.load_state_dict(trained.network.state_dict(), strict=False)
            return supernet

        method = {"sampler": "progressive_guidance", "kd_weight": 0.5, "clip_norm": 1.0, "optimizer": "adamw"}
        shape = WeightShapeConfig() if shaped else None
        config = self.config(
            self.arguments.epochs, self.arguments.bits_lr, weight_shape=shape, weight_decay=0.0, **method
        )
        supernet = row.trained(begun, config, self.data.train, spent)
        alike = [space.architecture({d.name: number for d in space.decisions}) for number in BITS]
        return {"accuracies": [self._accuracy(supernet, architecture) for architecture in alike]}

    def _accuracy(self, supernet: Supernet, architecture: Architecture) -> float:
        """Return the accuracy on the validation images in percent, with norms calibrated on 1,000 others."""
        inputs = [batch[0] for batch in islice(self.data.train.sequential(_BATCH), 4)]
        network = calibrated_subnet(supernet, architecture, lambda: inputs)
        return round(Classification().evaluate(network, self.data.validation.sequential(_BATCH)).value, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of the training images; the test images lie beside it")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=10_000, help="images for training")
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--float-epochs", type=float, default=30, help="epochs without bits")
    parser.add_argument("--epochs", type=float, default=15, help="epochs with bits")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.1, help="of the training without bits")
    parser.add_argument("--bits-lr", type=float, default=1e-3, help="of the training with bits")
    parser.add_argument("--output", type=Path, default=Path("runs/precision"))
    given = parser.parse_args()
    data = few_images(given.data, given.images, given.image_size, given.output)
    space = Space(name="resnet20", decisions=(), inputs=images(3, given.image_size), build=partial(resnet20, _CLASSES))
    comparison = Comparison(arguments=given, data=data, space=space)
    rows = []
    for seed in given.seeds:
        rows.append(comparison.float_row(seed).made(comparison.without_bits))
        rows += [comparison.bits_row(method, seed).made(comparison.with_bits) for method in given.methods]
    show(rows, given)


def show(rows: Sequence[Mapping[str, Any]], given: argparse.Namespace) -> None:
    """Print for every method the differences to the network without bits, and what is published."""
    title = f"ResNet-20, {given.images:,} images, {given.float_epochs:g} epochs without and {given.epochs:g} with bits"
    bits = [f"{number} bits - float" for number in BITS]
    shown = table(title, "method", "seeds", *bits, "published", "core minutes")
    known = {row["seed"]: row["accuracies"][0] for row in rows if row["method"] == "float"}
    minutes = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        of_it = [row for row in rows if row["method"] == method]
        minutes[method] = f"{np.mean([row['processor_s'] for row in of_it]) / 60:.1f}"
        if method == "float":
            continue
        away = np.array([np.array(row["accuracies"]) - known[row["seed"]] for row in of_it])
        spread = away.std(0, ddof=1) if len(away) > 1 else np.full(len(BITS), np.nan)
        cells = [f"{mean:+.2f} ± {error:.2f}" for mean, error in zip(away.mean(0), spread)]
        shown.add_row(method, f"{len(of_it)}", *cells, PUBLISHED[method], minutes[method])
    Console(width=160).print(shown)
    print(f"float accuracy of the seeds: {known}; core minutes {minutes.get('float')}")


if __name__ == "__main__":
    main()
