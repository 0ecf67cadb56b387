"""What the training loop asks of training images."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor


class TrainingImages(Protocol):
    """Training images in batches; batches are a function of (seed, epoch, index) and a given order alone."""

    def __len__(self) -> int:
        """Images of the split."""
        ...

    def steps(self, batch_size: int) -> int:
        """Batches of one epoch."""
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
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [B, C, H, W] and labels [B] from batch `start` of an epoch on; B is this process's share.

        With an `order`, int64 [N] on the CPU, the batches are cut from it; else from a permutation.
        """
        ...
