"""Rows of the benchmarks of learned architectures: each is trained in a folder of its own, and done once.

The name of a folder ends with a digest of the settings that its row depends on, so a command with other settings does
again only what they change. An interrupted training goes on from its checkpoint.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from benchmarks.pretrained import Processor, part_of
from nas.data import Data, DataConfig, load_data
from search_spaces import Space
from supernets import Supernet, Task, TrainConfig, phases, train
from supernets.tasks import Batch
from supernets.training import TrainingData
from supernets.training.phases import Phase

_VALIDATION = 2000  # images that architectures are judged on, beside those for training
_TEST = 100  # the test split is never read


def few_images(path: Path, train_images: int, image_size: int, output: Path, *, validation: int = _VALIDATION) -> Data:
    """Return the first images of each class of an npz, so many for training, and others for validation.

    Args:
        path: Training images, and those for test beside it.
        train_images: Images for training.
        image_size: Pixels of one side.
        output: Folder that the images are copied into.
        validation: Images for validation.
    """
    beside = "" if validation == _VALIDATION else f"-{validation}"
    count, folder = train_images + validation, output.resolve() / f"data-{train_images}{beside}"
    if not folder.exists():  # written aside: other processes may begin at the same time
        aside = folder.with_name(f"{folder.name}-{os.getpid()}")
        part_of(path, count, aside / "train.npz")
        part_of(path.with_name(path.name.replace("train", "test")), _TEST, aside / "test.npz")
        try:
            aside.rename(folder)
        except OSError:  # another one was faster
            shutil.rmtree(aside)
    config = DataConfig(
        source="npz", path=str(folder), image_size=image_size, validation_fraction=validation / count, flip=True
    )
    return load_data(config, device=torch.device("cpu"))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training and what it came to.

    Args:
        output: Folder of all rows.
        name: Name of the method.
        seed: Seed of weights, order and draws.
        settings: What else the row depends on.
    """

    output: Path
    name: str
    seed: int
    settings: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """The folder of the row."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:8]
        return self.output / f"{self.name}-seed{self.seed}-{digest}"

    def made(self, make: Callable[["Row", Processor], dict[str, Any]]) -> dict[str, Any]:
        """Return what `make` gives, with the processor time, from the file where it was made before."""
        file = self.folder / "row.json"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "settings.json").write_text(json.dumps(self.settings, indent=2))
            spent = Processor(self.folder / "processor_s.json")
            row = make(self, spent)
            row = {"method": self.name, "seed": self.seed, **row, "processor_s": round(spent(), 1)}
            file.write_text(json.dumps(row))
            short = {name: value for name, value in row.items() if not isinstance(value, list | dict)}
            print(json.dumps(short), flush=True)
        found: dict[str, Any] = json.loads(file.read_text())
        return found

    def trained(
        self,
        make: Callable[[], Supernet],
        config: TrainConfig,
        data: TrainingData,
        spent: Processor,
        *,
        task: Task | None = None,
        schedule: Sequence[Phase] | None = None,
        teacher: nn.Module | None = None,
    ) -> Supernet:
        """Return the supernet, trained or read; what it tells after every epoch is kept in `epochs.jsonl`.

        Args:
            make: Makes it with the weights that its training begins with.
            config: How it is trained.
            data: The training split.
            spent: Counts the processor time.
            task: Task that it is trained for; None for that of `train`.
            schedule: Phases of the training; None for those of the configuration.
            teacher: Network that teaches, if any.
        """
        torch.manual_seed(self.seed)
        supernet, path = make(), self.folder / "supernet.safetensors"
        if path.exists():
            supernet.load(path)
            return supernet

        def observe(event: Mapping[str, Any]) -> None:
            spent(event)
            if event["event"] == "sampler":
                with (self.folder / "epochs.jsonl").open("a") as file:
                    file.write(json.dumps(event) + "\n")

        made = phases(supernet.space, config) if schedule is None else schedule
        common = {
            "task": task,
            "teacher": teacher,
            "seed": self.seed,
            "folder": self.folder / "train",
            "observer": observe,
        }
        train(supernet, made, data, config, **common)
        supernet.save(path)
        return supernet

    def epochs(self) -> dict[int, dict[str, float]]:
        """Return epoch -> probabilities by vector and choice; a training that was resumed tells some of them twice."""
        lines = (self.folder / "epochs.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        return {event["epoch"]: event["probabilities"] for event in events if "epoch" in event}


class ShortEpochs:
    """A training split of which each epoch shows a part, one after the other.

    What stands at one place of an epoch is in the same half in every part, so weights and logits never share images.

    Args:
        split: The whole split.
        images: Images of an epoch.
    """

    def __init__(self, split: TrainingData, images: int) -> None:
        self.split, self.images = split, min(images, len(split))
        self.parts = len(split) // self.images
        self.shuffled = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return self.images

    def steps(self, batch_size: int) -> int:
        return max(1, self.images // batch_size)

    def batches(
        self,
        batch_size: int,
        *,
        epoch: int,
        seed: int,
        start: int,
        rank: int,
        world_size: int,
        order: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Return the batches of one epoch, as the split makes them."""
        places = torch.arange(self.images) if order is None else order
        shown = self.shuffled[places + epoch % self.parts * self.images]
        rest = self.shuffled[: len(self.split) - self.images]  # never shown: there are no more steps
        order, process = torch.cat([shown, rest]), {"rank": rank, "world_size": world_size}
        made = self.split.batches(batch_size, epoch=epoch, seed=seed, start=start, order=order, **process)
        return islice(made, self.steps(batch_size) - start)

    def sequential(self, batch_size: int) -> Iterator[Batch]:
        return self.split.sequential(batch_size)

    def subset(self, count: int, /, seed: int) -> TrainingData:
        return self.split.subset(count, seed)


def scaled_lr(published: float, published_steps: float, steps: float) -> float:
    """Return the learning rate at which Adam moves as far in a short training as in the published one."""
    return min(0.1, published * published_steps / steps)


def steps(images: int, batch_size: int, epochs: float) -> int:
    """Return the number of steps of a training."""
    return round(epochs * max(1, images // batch_size))


def fresh(space: Space) -> Callable[[], Supernet]:
    """Return what makes the supernet of a space with fresh weights."""
    return lambda: Supernet(space)


def table(title: str, *headings: str) -> Table:
    """Return an empty table, its first column for names."""
    shown = Table(title=title)
    for number, heading in enumerate(headings):
        shown.add_column(heading, justify="right" if number else "left")
    return shown
