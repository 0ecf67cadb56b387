"""The form of data: three splits in batches, and facts that follow from them for networks and tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nas.data.duplicates import Listing
from supernets.training.examples import TrainingData

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from nas.data.kept_split import KeptSplit
    from nas.data.members import Division
    from nas.data.splits import Positions
    from supernets.tasks import Batch


class Split(TrainingData, Protocol):
    """The examples of one split in batches, on the device: what a training asks for, and access in fixed order.

    The training loop gives `order` to draw examples by importance, and `start` to go on in the middle of an epoch.
    """

    def steps(self, batch_size: int, *, drop_last: bool = True) -> int:
        """Return the number of batches of one epoch; fewer examples than one batch still make one."""
        ...

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
        """Yield the shuffled batches of one epoch, see `nas.data.tensors.TensorData.batches`."""
        ...

    def subset(self, n: int, /, seed: int) -> Split:
        """Return `n` random examples, all where there are fewer."""
        ...


@runtime_checkable
class PicturedSplit(Split, Protocol):
    """A split whose examples can be looked at."""

    def picture(self, index: int, side: int) -> bytes:
        """Return a PNG file of one example, at most `side` pixels wide and high."""
        ...


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set, split.

    Args:
        name: Name of the data, for people.
        fingerprint: 16 hexadecimal digits that change with the examples or their split.
        task: What networks are trained for on it unless a job says otherwise, e.g. `classification`.
        facts: Facts that spaces and tasks take by name, see `DataSource.facts`.
        train: Examples that weights are trained on.
        validation: Examples that the search sees.
        test: Test split, for the final report only.
        preprocessing: How raw values become inputs, for the card of an exported network; ready for JSON.
        targets: What outputs mean: their `meaning`, the names of `classes`; also for the card, ready for JSON.
        remarks: Sentences for people about how the examples were read.
        left_out: One line for each example that cannot be used: its name and the reason.
        about: Title -> what the examples are like or how they are prepared, in words for people.
        listings: Listings by which the examples of each split are recognised; none where they cannot be told apart.
        files: Name -> text of what was made from these data and belongs to the networks, such as a vocabulary. A job
            keeps them in its folder, and gives them back with its split.
    """

    name: str
    fingerprint: str
    task: str
    facts: Mapping[str, Any]
    train: Split
    validation: Split
    test: Split
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    left_out: Sequence[str] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    listings: Mapping[str, Listing] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples of each split."""
        return {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}

    def describe(self) -> dict[str, Any]:
        """Return what logs should say about the data; ready for JSON."""
        return {"name": self.name, **self.facts, **self.sizes, "fingerprint": self.fingerprint}


@runtime_checkable
class DataSource(Protocol):
    """Data that were found and looked at, but not loaded; the source function of a job returns them.

    The function takes the `DataConfig`, and its options by name. It raises `InvalidData` or `FieldError` where there
    is nothing to load. `task`, `facts` and `sizes` are read when a job is checked, so they have to be cheap.
    """

    @property
    def task(self) -> str:
        """The name of the task that networks are trained for on these data unless a job says otherwise."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What spaces and tasks are offered by name: `classes`, `channels`, `features`, ...

        A job that gives one of them to its space must agree.
        """
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """The number of examples of `train`, `validation` and `test`."""
        ...

    def load(self, device: torch.device, seed: int = 0) -> Data:
        """Return the splits, ready for training on the device; the seed is that of the split."""
        ...


@runtime_checkable
class WatchedSource(DataSource, Protocol):
    """Data that may take long to load, with progress that can be watched."""

    def watched(self, tell: Callable[[int, int], None]) -> DataSource:
        """Return the same data; while they are loaded, they tell how many of how many examples are read."""
        ...


@runtime_checkable
class CheckedSource(DataSource, Protocol):
    """A source that can look at every example without loading them: a job does so before it makes its folder."""

    def check(self) -> None:
        """Refuse examples that cannot be used.

        Raises:
            InvalidExamples: There are some, and the configuration does not allow to leave them out.
        """
        ...


@runtime_checkable
class DividedSource(DataSource, Protocol):
    """A source that can tell its examples apart, so that a job keeps their split even when the data change."""

    def division(self, seed: int = 0) -> Division:
        """Return the examples of all parts and how they are split; the seed is that of the split."""
        ...

    def with_split(self, kept: KeptSplit, positions: Positions) -> DataSource:
        """Return the same data with other splits, for networks that were made for a kept one.

        Args:
            kept: Facts of the data when the networks were made.
            positions: The splits now.
        """
        ...
