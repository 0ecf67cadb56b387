"""Which order of channels lets subnets of a trained network keep the most: by loss, by norms, by weights, or by chance.

    python -m benchmarks.channel_orders cifar10.npz --seeds 3 --output runs/orders

Each seed trains the whole network on part of CIFAR-10. Its channels are then brought into each order on a copy, and the
same random subnets are judged on held-out images, calibrated and not trained: subnets near the whole network (each
decision at its largest or second largest choice), and any subnets. With --sandwich, each copy is then trained as the
schedule `adapted` does, with the whole network as teacher, and the subnets are judged again. The last lines say which
order `auto` takes on training images, and what each order gains over a random one, paired by seed with 95 % intervals
(Student's t); with few seeds these are wide. The same command goes on where an earlier one stopped.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table
from torch import Tensor

from nas.data import Data, DataConfig, load_data
from nas.student_interval import student_half
from search_spaces import Architecture, Space
from service import catalogue
from supernets import Classification, Supernet, TrainConfig, calibrate, phases, train
from supernets.training.adapt_config import ORDERS, AdaptConfig
from supernets.training.adaptation import Adaptation
from supernets.training.distributed import Processes

Found = dict[str, dict[str, float]]
"""What was judged -> order -> mean accuracy of the subnets in percent."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One seed: the data, the space, and how long the whole network and its subnets are trained."""

    data: Data
    space: Space
    config: TrainConfig
    sandwich_epochs: float
    subnets: int
    seed: int

    def found(self) -> tuple[Found, str]:
        """Return the accuracy of subnets under each order, and the order that `auto` takes."""
        whole = self._whole()
        result: Found = {"largest": {}, "near": {}, "any": {}}
        if self.sandwich_epochs:
            result |= {"near, trained": {}, "any, trained": {}}
        for order in ORDERS:
            ordered, _ = self._ordered(whole, order)
            result["largest"][order] = self._accuracy(ordered, [self.space.largest()], own=True)
            self._judge(ordered, order, "", result)
            if self.sandwich_epochs:
                self._judge(self._sandwiched(ordered, whole), order, ", trained", result)
        return result, self._ordered(whole, "auto")[1]

    def _whole(self) -> Supernet:
        torch.manual_seed(self.seed)
        supernet = Supernet(self.space)
        return train(supernet, phases(self.space, self.config), self.data.train, self.config, seed=self.seed)

    def _ordered(self, whole: Supernet, order: Any) -> tuple[Supernet, str]:
        """Return a copy whose channels are in an order, and the name of the order."""
        copy = deepcopy(whole)
        config = replace(self.config, adapt=replace(self.config.adapt, order=order))
        adaptation = Adaptation(
            config=config, data=self.data.train, task=Classification(), seed=self.seed, processes=Processes()
        )
        return copy, adaptation.finish(copy)["order"]

    def _judge(self, supernet: Supernet, order: str, ending: str, result: Found) -> None:
        generator = np.random.default_rng(self.seed)
        near = [self._near(generator) for _ in range(self.subnets)]
        any_ones = [self.space.sample(generator) for _ in range(self.subnets)]
        result[f"near{ending}"][order] = self._accuracy(supernet, near)
        result[f"any{ending}"][order] = self._accuracy(supernet, any_ones)

    def _near(self, generator: np.random.Generator) -> Architecture:
        """Return an architecture whose decisions have their largest or second largest choices."""
        return self.space.architecture(
            {d.name: d.choices[-1 - generator.integers(min(2, len(d.choices)))] for d in self.space.decisions}
        )

    def _accuracy(self, supernet: Supernet, architectures: Sequence[Architecture], *, own: bool = False) -> float:
        found = []
        for architecture in architectures:
            network = supernet.extract(architecture).eval()
            if not own:
                network = calibrate(network, self._calibration())
            found.append(Classification().evaluate(network, self.data.validation.sequential(250)).value)
        return float(np.mean(found))

    def _calibration(self) -> Iterator[Tensor]:
        return (images for images, *_ in islice(self.data.train.batches(128, epoch=0, seed=20_000), 4))

    def _sandwiched(self, ordered: Supernet, whole: Supernet) -> Supernet:
        """Return a copy that was trained by the sandwich rule, with the whole network as teacher."""
        copy, config = deepcopy(ordered), replace(self.config, schedule="whole", adapt=AdaptConfig())
        made = phases(self.space, replace(config, sampler="sandwich", epochs=self.sandwich_epochs))
        teacher = whole.extract(self.space.largest())
        return train(copy, made, self.data.train, config, seed=self.seed + 1, teacher=teacher)


def trials(arguments: argparse.Namespace) -> Iterator[Trial]:
    """Yield the trial of each seed."""
    path, size = str(arguments.data), arguments.image_size
    loaded = load_data(
        DataConfig(source="npz", path=path, image_size=size, validation_fraction=0.1), device=torch.device("cpu")
    )
    made = {**loaded.facts, "resolutions": [loaded.facts["image_size"]]}
    space = catalogue.make("space", arguments.space, offered=made, options=yaml.safe_load(arguments.options))
    for seed in range(arguments.seeds):
        data = replace(
            loaded,
            train=loaded.train.subset(arguments.images, seed=seed),
            validation=loaded.validation.subset(arguments.judged, seed=seed),
        )
        config = TrainConfig(
            schedule="adapted",
            adapt=AdaptConfig(share=1, order="none", examples=512, subnets=arguments.subnets),
            epochs=arguments.epochs,
            batch_size=64,
            lr=arguments.lr,
        )
        yield Trial(
            data=data,
            space=space,
            config=config,
            sandwich_epochs=arguments.sandwich,
            subnets=arguments.subnets,
            seed=seed,
        )


def table(found: Sequence[Found], title: str) -> Table:
    """Return the mean accuracies, and the differences to a random order."""
    shown = Table(title=title)
    for heading in ("subnets", "order", "accuracy, mean over seeds", "over random, 95 % interval", "of each seed"):
        shown.add_column(heading)
    for judged in found[0]:
        for order in found[0][judged]:
            values = np.array([one[judged][order] for one in found])
            gain = values - np.array([one[judged]["random"] for one in found])
            half = student_half(gain) if len(gain) > 1 else float("nan")
            seeds = " ".join(f"{value:.1f}" for value in values)
            shown.add_row(judged, order, f"{values.mean():.2f} %", f"{gain.mean():+.2f} ± {half:.2f}", seeds)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of JPEG bytes, as the recipe cifar10 takes it")
    parser.add_argument("--space", default="timm")
    parser.add_argument("--options", default="{model: resnet10t}", help="options of the space, as YAML")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=4000, help="training images of a seed")
    parser.add_argument("--judged", type=int, default=1000, help="held-out images that subnets are judged on")
    parser.add_argument("--epochs", type=float, default=8, help="of the whole network")
    parser.add_argument("--sandwich", type=float, default=0, metavar="EPOCHS", help="of the subnets, for each order")
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--subnets", type=int, default=8, help="of each kind")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("runs/channel_orders"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    settings: Mapping[str, Any] = {k: str(v) for k, v in vars(arguments).items() if k not in ("seeds", "output")}
    records = []
    for trial in trials(arguments):
        place = arguments.output / f"seed{trial.seed}.json"
        record = json.loads(place.read_text()) if place.exists() else None
        if record is None or record["settings"] != settings:
            found, auto = trial.found()
            record = {"settings": settings, "found": found, "auto": auto}
            place.write_text(json.dumps(record, indent=2))
        records.append(record)
        near = ", ".join(f"{order} {value:.1f}" for order, value in record["found"]["near"].items())
        print(f"seed {trial.seed}: auto takes {record['auto']}; near subnets: {near}", flush=True)
    title = f"{arguments.options}, {arguments.epochs:g} epochs of {arguments.images} images, {len(records)} seeds"
    Console(width=150).print(table([record["found"] for record in records], title))


if __name__ == "__main__":
    main()
