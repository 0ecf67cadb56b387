"""Examples that fit into memory: tensors on the device, a batch being the same rows of each."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from nas.data.config import DataConfig, InvalidData
from nas.data.data import Data
from nas.data.duplicates import Listing, digest_of
from nas.data.kept_split import KeptSplit
from nas.data.members import Division, members_of_rows
from nas.data.order import Share, order_of, random_subset, shares, steps
from nas.data.splits import Positions, split_positions
from supernets.device import send
from supernets.tasks import Batch


class TensorData:
    """One split, a `nas.data.data.Split`.

    Subclasses may override `plain` and `augmented` to change how examples are shown.

    Args:
        tensors: Tensors of a batch, each [N, ...] of any type, on one device.

    Raises:
        ValueError: There are no tensors, or they differ in N.
    """

    def __init__(self, *tensors: Tensor) -> None:
        if len({len(tensor) for tensor in tensors}) != 1:
            shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors) or "none"
            raise ValueError(f"tensors must be one or more of the same length, got {shapes}")
        self.tensors = tensors

    def plain(self, batch: Batch) -> Batch:
        """Return what is shown of rows that are not augmented; the rows by default."""
        return batch

    def augmented(self, batch: Batch, share: Share, *, seed: int, epoch: int) -> Batch:
        """Return what is shown of rows in training; random numbers must follow from seed, epoch and share alone."""
        return self.plain(batch)

    def __len__(self) -> int:
        return len(self.tensors[0])

    @property
    def device(self) -> torch.device:
        return self.tensors[0].device

    def steps(self, batch_size: int, *, drop_last: bool = True) -> int:
        """Return the number of batches of one epoch; fewer examples than one batch still make one."""
        return steps(len(self), batch_size, drop_last=drop_last)

    def batches(
        self,
        batch_size: int,
        *,
        epoch: int,
        seed: int,
        start: int = 0,
        augment: bool = True,
        drop_last: bool = True,
        rank: int = 0,
        world_size: int = 1,
        order: Tensor | None = None,
    ) -> Iterator[Batch]:
        """Yield shuffled batches of one epoch, from batch `start` on; the same whenever they are asked for again.

        Args:
            batch_size: Examples of one step over all processes; each gets an equal, contiguous part of every batch.
            epoch: Number of the epoch.
            seed: Seed of order and augmentation.
            start: First batch, to go on in the middle of an epoch.
            augment: Whether examples are augmented.
            drop_last: Whether the last, smaller batch is left out.
            rank: This process among `world_size`.
            world_size: Processes that share each batch.
            order: Examples in the order to show them, int64 [N] on the CPU, repetitions allowed; a permutation that
                follows from seed and epoch by default.
        """
        chosen_order = send(order_of(order, len(self), epoch=epoch, seed=seed), self.device)
        for share in shares(len(self), batch_size, start=start, drop_last=drop_last, rank=rank, world_size=world_size):
            chosen = chosen_order[share.begin : share.end]
            rows = tuple(tensor.index_select(0, chosen) for tensor in self.tensors)
            yield self.augmented(rows, share, seed=seed, epoch=epoch) if augment else self.plain(rows)

    def sequential(self, batch_size: int) -> Iterator[Batch]:
        """Yield all examples once, unchanged, in fixed order, the last smaller batch included."""
        for share in shares(len(self), batch_size, drop_last=False):
            yield self.plain(tuple(tensor[share.begin : share.end] for tensor in self.tensors))

    def subset(self, n: int, seed: int) -> Self:
        """Return `n` random examples (all where there are fewer), e.g. to calibrate batch norm."""
        chosen = send(random_subset(len(self), n, seed), self.device)
        few = copy.copy(self)
        few.tensors = tuple(tensor.index_select(0, chosen) for tensor in self.tensors)
        return few


def _listing(tensors: Batch, chosen: Tensor, labels: np.ndarray | None) -> Listing:
    """Return what the chosen rows are recognised by."""

    def digest() -> np.ndarray:
        rows = [tensor.cpu().index_select(0, chosen).reshape(len(chosen), -1) for tensor in tensors]
        parts = [tensor.view(torch.uint8).numpy() for tensor in rows]
        return np.array([digest_of(b"".join(part[i].tobytes() for part in parts)) for i in range(len(chosen))], "u8")

    return Listing(digest, lambda position: f"row {int(chosen[position])}", labels)


def _row_bytes(tensors: list[Tensor], index: int) -> bytes:
    """Return one example as bytes."""
    return b"".join(tensor[index].reshape(-1).view(torch.uint8).numpy().tobytes() for tensor in tensors)


@dataclass(frozen=True, kw_only=True)
class TensorSource:
    """Tensors in memory as a `nas.data.data.DataSource`; a user's own source can return it.

    Args:
        config: Fractions of the splits that are held out; other fields about images must be at their defaults.
        name: Name of the data, for people.
        task: Default task of the data, by name.
        facts: Facts that are offered to spaces and tasks, by name.
        train: Training tensors, each [N, ...] of any type.
        validation: The same for a published validation part, if any.
        test: The same for a published test part, if any.
        classes: Class of each training example, int64 [N], of which every split gets its share; None for none.
        preprocessing: See `nas.data.data.Data`.
        targets: See `nas.data.data.Data`.
        positions: The three splits, where they were made before.

    Raises:
        FieldError: The configuration has a value that these data do not use.
        InvalidData: There are too few examples.
    """

    config: DataConfig
    name: str
    task: str
    facts: Mapping[str, Any]
    train: Batch
    validation: Batch | None = None
    test: Batch | None = None
    classes: Tensor | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, Any] = field(default_factory=dict)
    positions: Positions | None = None

    def __post_init__(self) -> None:
        self.config.refuse_all_but("validation_fraction", "test_fraction")
        if len(TensorData(*self.train)) < (least := 1 + (self.validation is None) + (self.test is None)):
            raise InvalidData(f"{self.name}: at least {least} training examples are needed, found {len(self.train[0])}")

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Number of examples of each split."""
        return {name: len(positions) for name, positions in self._positions(0).items()}

    def load(self, device: torch.device, seed: int = 0) -> Data:
        """Return the three splits on the device."""
        given = {"train": self.train, "validation": self.validation or self.train, "test": self.test or self.train}
        digest = hashlib.sha256(self.name.encode())
        splits: dict[str, Any] = {}
        listings = {}
        for name, positions in self._positions(seed).items():
            chosen = torch.from_numpy(positions)
            rows = [tensor.cpu().index_select(0, chosen) for tensor in given[name]]
            digest.update(name.encode() + positions.astype(np.int64).tobytes())
            for tensor in rows:
                digest.update(str(tensor.dtype).encode() + tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
            splits[name] = TensorData(*(send(tensor, device) for tensor in rows))
            listings[name] = _listing(given[name], chosen, self._classes(name, positions))
        return Data(
            name=self.name,
            fingerprint=digest.hexdigest()[:16],
            task=self.task,
            facts=self.facts,
            preprocessing=self.preprocessing,
            targets=self.targets,
            about={"facts": ", ".join(f"{name} {value}" for name, value in self.facts.items())} if self.facts else {},
            listings=listings,
            **splits,
        )

    def _classes(self, split: str, positions: np.ndarray) -> np.ndarray | None:
        """Return the classes of the examples of a split that was held out of the training examples."""
        published = {"train": None, "validation": self.validation, "test": self.test}[split]
        return None if self.classes is None or published is not None else self.classes.cpu().numpy()[positions]

    def division(self, seed: int = 0) -> Division:
        """Return what the examples of each part are recognised by, and their split."""
        given = {"train": self.train, "validation": self.validation, "test": self.test}
        parts = {}
        for name, tensors in given.items():
            if tensors is not None:
                rows = [tensor.cpu() for tensor in tensors]
                labels = np.zeros(len(rows[0]), np.int64)
                parts[name] = members_of_rows(labels, partial(_row_bytes, rows))
        return Division(classes=(), parts=parts, positions=self._positions(seed))

    def with_split(self, kept: KeptSplit, positions: Positions) -> TensorSource:
        """Return the same examples with other splits."""
        return replace(self, positions=positions)

    def _positions(self, seed: int) -> Positions:
        if self.positions is not None:
            return self.positions
        count = len(self.train[0])
        return split_positions(
            np.zeros(count, np.int64) if self.classes is None else self.classes.cpu().numpy(),
            validation=None if self.validation is None else len(self.validation[0]),
            test=None if self.test is None else len(self.test[0]),
            fractions=(self.config.validation_fraction, self.config.test_fraction),
            seed=seed,
        )
