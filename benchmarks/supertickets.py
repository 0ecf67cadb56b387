"""Search and pruning in one training against one after the other, on CIFAR-10 at 80 % sparsity (SuperTickets).

    python -m benchmarks.supertickets cifar10_train_jpeg.npz --seeds 3 --output runs/supertickets

Both trainings begin with the same weights of the same network of three paths a block, and have the same epochs:

joint        channels are pulled to 0 and removed to the end, and weights are pruned from the beginning;
in turn      in the first half channels are pulled and removed, in the second half the weights of what is left are
             pruned. The pull is twice as strong, so that all of it together is the same.

Prunings take two thirds of the epochs that there are for them, so that the sparse network trains on.

The test images judge both; the validation images do nothing here. The table says how many weights and multiply-
accumulates are left, how far the sparsity is from the one that was asked for, and how much the outputs of the trained
network change when channels whose norm gives nothing are removed: a fifth of each path has its scale and bias set to 0,
and outputs on test images are compared before and after. Differences are paired by seed; with few seeds their 95 %
intervals (Student's t) are wide. The defaults take about 8 minutes of one processor core for each seed. The same
command goes on where an earlier one stopped; another one does again only what its settings change.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.pretrained import Processor
from nas.data import Data, DataConfig, load_data
from nas.student_interval import student_half
from search_spaces import Space
from search_spaces.families.hr_multibranch import hr_multibranch
from supernets import Classification, Supernet, TicketConfig, TrainConfig, load_supernet, phases, train
from supernets.calibration import calibrated_subnet
from supernets.transforms.dead_channels import paths, remove, shrunk

ARMS = ("joint", "in turn")
_NETWORK: Mapping[str, Any] = {"stride": 4, "stem_widths": [16, 16]}
_LADDER = 2 / 3  # of the epochs that there are for prunings; published are 9 of 14 intervals
_CALIBRATION = 16  # batches
_CHECKED = 250  # test images whose outputs are compared before and after a removal


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The comparison: settings, images, and a folder for each training.

    Args:
        arguments: Of the command line.
        data: Images of CIFAR-10.
    """

    arguments: argparse.Namespace
    data: Data

    @cached_property
    def space(self) -> Space:
        """The channels of all paths."""
        return hr_multibranch(**_NETWORK, image_size=32, channels=3, classes=10)

    def config(self, arm: str) -> TrainConfig:
        """Return how one of both is trained."""
        given, turn = self.arguments, arm == "in turn"
        part = 0.5 if turn else 1.0
        tickets = TicketConfig(
            sparsity=given.sparsity,
            prune_interval=max(1, int(_LADDER * part * given.epochs / given.prunings + 1e-6)),
            prune_step=given.sparsity / given.prunings,
            prune_from=0.5 if turn else 0.0,
            rho=given.rho / part,
            rho_epochs=given.epochs * part / 5,
            search_until=part,
            removal_interval=max(1, given.epochs // 10),
            threshold=given.threshold,
            least_macs=0,
        )
        settings: dict[str, Any] = {"epochs": given.epochs, "batch_size": 64, "lr": given.lr, "ema_decay": 0.98}
        return TrainConfig(tickets=tickets, checkpoint_every_s=20, **settings)

    def row(self, arm: str, seed: int) -> dict[str, Any]:
        """Return the figures of one training, which is done where it was not."""
        config = self.config(arm)
        settings = {"arm": arm, "images": self.arguments.images, "data": self.data.fingerprint, "config": repr(config)}
        digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]
        folder: Path = self.arguments.output / f"{arm.replace(' ', '-')}-{digest}" / f"seed{seed}"
        file = folder / "row.json"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            spent = Processor(folder / "processor_s.json")
            row = self._figures(self._trained(config, seed, folder, spent))
            file.write_text(json.dumps({**row, "processor_s": spent()}))
            print(f"{arm}, seed {seed}: {file.read_text()}", flush=True)
        return json.loads(file.read_text())

    def _trained(self, config: TrainConfig, seed: int, folder: Path, spent: Processor) -> Supernet:
        place, last = folder / "supernet.safetensors", time.monotonic()
        if place.exists():
            return load_supernet(self.space, place)

        def observe(event: Mapping[str, Any]) -> None:
            nonlocal last
            seconds = spent(event)
            if event["event"] == "ticket" or time.monotonic() > last + 60:
                last = time.monotonic()
                names = ("step", "steps", "loss", "epoch", "sparsity", "channels", "removed_channels", "dense_macs")
                print(f"  { ({name: event[name] for name in names if name in event}) } {seconds:.0f} s", flush=True)

        torch.manual_seed(seed)
        supernet = Supernet(self.space)
        images = self.data.train.subset(self.arguments.images, seed=seed)
        train(supernet, phases(self.space, config), images, config, seed=seed, folder=folder, observer=observe)
        supernet.save(place)
        return supernet

    def _figures(self, supernet: Supernet) -> dict[str, Any]:
        assert supernet.ticket is not None
        images = [batch[0] for batch in islice(self.data.train.batches(128, epoch=0, seed=20_000), _CALIBRATION)]
        network = calibrated_subnet(supernet, supernet.ticket.architecture, lambda: images)
        last = supernet.ticket.history[-1]
        names = ("sparsity", "channels", "paths", "dense_macs", "sparse_macs", "dense_params", "sparse_params")
        return {
            "test": Classification().evaluate(network, self.data.test.sequential(250)).value,
            **{name: last[name] for name in names},
            "returned": sum(record.get("returned_weights", 0) for record in supernet.ticket.history),
            **self._changed(deepcopy(supernet), next(iter(self.data.test.sequential(_CHECKED)))[0]),
        }

    @torch.no_grad()
    def _changed(self, supernet: Supernet, images: Tensor) -> dict[str, float]:
        """Return the largest change of an output by the removal of channels whose norm gives nothing.

        `spread` is the deviation of the outputs over images, `cut` the change that bringing these channels to nothing
        has made before: how much there was to change.
        """
        assert supernet.ticket is not None
        found, marks = paths(supernet.network, supernet.ticket.architecture), {}
        supernet.eval().activate(supernet.ticket.architecture)
        whole = supernet(images)
        for path in found:
            gone = torch.zeros(path.channels, dtype=torch.bool)
            gone[path.scale[: path.channels].abs().argsort()[: path.channels // 5]] = True
            norm: Any = path.branch.depthwise.norm
            for tensor in (norm.weight, norm.bias):
                tensor[: path.channels][gone] = 0.0
            marks[path.decision] = gone
        before = supernet(images)
        architecture = shrunk(self.space, found, marks)
        remove(supernet.network, found, marks, {})
        after = supernet.extract(architecture)(images)
        assert after.shape == before.shape
        changes = {"changed": (after - before).abs().max(), "cut": (before - whole).abs().max()}
        return {"spread": float(before.std(0).mean()), **{name: float(change) for name, change in changes.items()}}


def interval(values: np.ndarray) -> str:
    """Return the mean and the 95 % interval of a few values."""
    return f"{values.mean():.2f} ± {student_half(values):.2f}" if len(values) > 1 else f"{values.mean():.2f}"


def table(rows: Mapping[str, list[dict[str, Any]]], sparsity: float) -> Table:
    """Return the figures of both, means over seeds."""
    shown = Table(title=f"CIFAR-10 at {100 * sparsity:g} % sparsity, {len(rows[ARMS[0]])} seeds")
    for heading in ("", *ARMS):
        shown.add_column(heading, justify="right" if heading else "left")

    def line(name: str, key: str, form: str, scale: float = 1.0) -> None:
        shown.add_row(name, *(form.format(np.mean([row[key] for row in rows[arm]]) * scale) for arm in ARMS))

    shown.add_row("test accuracy (%), 95 % interval", *(interval(column(rows[arm], "test")) for arm in ARMS))
    shown.add_row("of each seed", *(" ".join(f"{row['test']:.2f}" for row in rows[arm]) for arm in ARMS))
    shown.add_row(
        "joint minus in turn (points)", interval(column(rows["joint"], "test") - column(rows["in turn"], "test")), ""
    )
    off = [max(abs(row["sparsity"] - sparsity) for row in rows[arm]) for arm in ARMS]
    shown.add_row("sparsity off by at most (points)", *(f"{100 * one:.4f}" for one in off))
    line("channels left", "channels", "{:.0f}")
    for kind in ("dense", "sparse"):
        line(f"M multiply-accumulates ({kind})", f"{kind}_macs", "{:.2f}", 1e-6)
        line(f"k weights ({kind})", f"{kind}_params", "{:.1f}", 1e-3)
    line("weights that returned", "returned", "{:,.0f}")
    for name, key in (("change by a removal, at most", "changed"), ("deviation of outputs over images", "spread")):
        shown.add_row(name, *(f"{max(row[key] for row in rows[arm]):.1e}" for arm in ARMS))
    line("processor minutes a seed", "processor_s", "{:.1f}", 1 / 60)
    return shown


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """Return one figure of all seeds."""
    return np.array([row[name] for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of the training images; the test images lie beside it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=6_600, help="training images, other ones for each seed")
    parser.add_argument("--epochs", type=int, default=24, help="epochs of each training")
    parser.add_argument("--sparsity", type=float, default=0.8)
    parser.add_argument("--prunings", type=int, default=8, help="prunings of each training")
    parser.add_argument("--rho", type=float, default=8e-4, help="pull of the scales; twice as much in turn")
    parser.add_argument("--threshold", type=float, default=2e-2, help="largest scale of a dead channel")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--output", type=Path, default=Path("runs/supertickets"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fields: dict[str, Any] = {"source": "npz", "path": str(arguments.data.resolve()), "validation_fraction": 0.1}
    trial = Trial(arguments=arguments, data=load_data(DataConfig(**fields), device=torch.device("cpu")))
    rows = {arm: [trial.row(arm, seed) for seed in range(arguments.seeds)] for arm in ARMS}
    Console(width=110).print(table(rows, arguments.sparsity))


if __name__ == "__main__":
    main()
