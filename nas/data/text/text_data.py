"""One split of text in batches: rows of tokens in memory, padded on the way to the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nas.data.order import order_of, random_subset, shares, steps
from nas.data.text.forms import Columns, Form
from nas.data.text.rows import Rows
from nas.data.text.token_batches import equal_cuts, token_batches
from supernets.device import send
from supernets.streams import AUGMENTATION, DATA_ORDER
from supernets.tasks import Batch

_MOST_TOKENS = 16_384  # of a batch that networks are judged on: their outputs are thousands of numbers for each
_JUDGED_EPOCH = 1 << 40  # the gaps of text that is judged are those of no epoch


class TextData:
    """One split, a `nas.data.data.Split`; the examples are in the order of their lengths.

    `batch_size` is the mean number of examples: batches have about as many tokens, so those of short rows have more
    examples. Batches of a given order, such as one by importance, have exactly so many, and more padding.

    Args:
        columns: The rows of each language, in the order of `length_order`.
        form: What batches are made of.
        device: Device where batches are wanted.
    """

    def __init__(self, columns: Columns, form: Form, device: torch.device) -> None:
        self.columns, self.form, self.device = columns, form, device
        lengths = [rows.lengths for rows in columns]
        self._lengths, self._costs = np.max(lengths, axis=0), np.sum(lengths, axis=0)

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return int(self._costs.sum())

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
        """Yield the shuffled batches of one epoch, from batch `start` on; the same whenever they are asked for again.

        Args:
            batch_size: Examples of one step over all processes, on average; each gets an equal, contiguous part.
            epoch: Number of the epoch.
            seed: Seed of order and gaps.
            start: First batch, to go on in the middle of an epoch.
            augment: Whether gaps are those of the epoch.
            drop_last: Whether there are N / `batch_size` batches rounded down instead of up. No example is left out.
            rank: This process among `world_size`.
            world_size: Processes that share each batch.
            order: Examples in the order to show them, int64 [N] on the CPU, repetitions allowed.
        """
        shown = self.form.shown(self.columns, self._generator(seed, epoch if augment else _JUDGED_EPOCH))
        if order is None:
            parts = self._parts(batch_size, epoch=epoch, seed=seed, drop_last=drop_last, world_size=world_size)
            for part in parts[start:]:
                yield self._batch(shown, part[rank * len(part) // world_size : (rank + 1) * len(part) // world_size])
            return
        given = order_of(order, len(self), epoch=epoch, seed=seed).numpy()
        for share in shares(len(self), batch_size, start=start, drop_last=drop_last, rank=rank, world_size=world_size):
            yield self._batch(shown, given[share.begin : share.end])

    def sequential(self, batch_size: int) -> Iterator[Batch]:
        """Yield all examples once, with gaps that are always the same, in fixed order."""
        shown = self.form.shown(self.columns, self._generator(0, _JUDGED_EPOCH))
        count = max(self.steps(batch_size, drop_last=False), -(-self.tokens // _MOST_TOKENS))
        for part in np.split(np.arange(len(self)), equal_cuts(self._costs, min(count, len(self)))):
            yield self._batch(shown, part)

    def subset(self, n: int, seed: int) -> TextData:
        """Return `n` random examples (all where there are fewer)."""
        chosen = np.sort(random_subset(len(self), n, seed).numpy())
        return TextData(tuple(rows.select(chosen) for rows in self.columns), self.form, self.device)

    def _parts(
        self, batch_size: int, *, epoch: int, seed: int, drop_last: bool, world_size: int
    ) -> Sequence[np.ndarray]:
        """Return the examples of each batch of an epoch.

        Raises:
            ValueError: The batch cannot be shared equally.
        """
        if batch_size % world_size:
            raise ValueError(f"batch_size must be a multiple of the {world_size} processes, got {batch_size}")
        count = self.steps(batch_size, drop_last=drop_last)
        least = max(1, min(world_size, len(self) // count))
        generator = DATA_ORDER.generator(seed, epoch)
        return token_batches(self._lengths, self._costs, count, least=least, generator=generator)

    def _batch(self, shown: Columns, chosen: np.ndarray) -> Batch:
        arrays = self.form.batch(tuple(rows.padded(chosen) for rows in shown))
        return tuple(send(torch.from_numpy(array), self.device) for array in arrays)

    @staticmethod
    def _generator(seed: int, epoch: int) -> np.random.Generator:
        return AUGMENTATION.generator(seed, epoch)


def length_order(columns: Sequence[Rows]) -> np.ndarray:
    """Return the examples from the shortest to the longest, int64 [N]."""
    lengths = np.array([rows.lengths for rows in columns])
    return np.lexsort((*lengths, lengths.max(axis=0)))
