"""The protocol of training data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from supernets.tasks.task import Batch


class TrainingData(Protocol):
    """One split of a data source in batches; batches depend only on (seed, epoch, index) and a given order.

    Only the task knows what a batch holds.
    """

    def __len__(self) -> int:
        """Return the number of examples of the split."""
        ...

    def steps(self, batch_size: int) -> int:
        """Return the number of batches of one epoch."""
        ...

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
        """Yield this process's share of the batches from number `start` of an epoch on, changed as training wants it.

        With an `order`, int64 [N] on the CPU, the batches are cut from it; else from a permutation.
        """
        ...

    def sequential(self, batch_size: int) -> Iterator[Batch]:
        """Yield all examples once, unchanged and in a fixed order, the last smaller batch included."""
        ...

    def subset(self, count: int, /, seed: int) -> TrainingData:
        """Return so many random examples, all where there are fewer."""
        ...
