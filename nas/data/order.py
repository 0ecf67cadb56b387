"""The examples of a batch, as pure functions of seed, epoch and batch number, so that any batch can be repeated."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from supernets.streams import DATA_ORDER, SUBSET


class Share(NamedTuple):
    """The part of one process in a global batch: positions `begin` to `end` of the order of the epoch.

    `offset` is where the part starts in its global batch, which holds `total` examples.
    """

    batch: int
    begin: int
    end: int
    offset: int
    total: int


def epoch_order(count: int, *, epoch: int, seed: int) -> Tensor:
    """Return the examples in the order of one epoch, int64 [count]."""
    return torch.randperm(count, generator=DATA_ORDER.torch_generator(seed, epoch))


def order_of(given: Tensor | None, count: int, *, epoch: int, seed: int) -> Tensor:
    """Return the given order of an epoch, or a permutation; int64 [count].

    Raises:
        ValueError: The given order has another length or names examples that are not there.
    """
    if given is None:
        return epoch_order(count, epoch=epoch, seed=seed)
    if given.dtype != torch.int64 or given.shape != (count,):
        raise ValueError(f"order must be int64 [{count}], got {given.dtype} {list(given.shape)}")
    if given.min() < 0 or given.max() >= count:
        got = f"{int(given.min())} to {int(given.max())}"
        raise ValueError(f"order must name examples from 0 to {count - 1}, got {got}")
    return given


def random_subset(count: int, n: int, seed: int) -> Tensor:
    """Return `n` distinct indices below `count` (all of them where there are fewer), in random order."""
    return torch.randperm(count, generator=SUBSET.torch_generator(seed))[:n]


def steps(count: int, batch_size: int, *, drop_last: bool = True) -> int:
    """Return the number of batches of one epoch; fewer examples than one batch still make one."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    full = count // batch_size
    return max(1, full) if drop_last else -(-count // batch_size)


def shares(
    count: int, batch_size: int, *, start: int = 0, drop_last: bool = True, rank: int = 0, world_size: int = 1
) -> Iterator[Share]:
    """Yield the shares of process `rank` in the batches `start`, `start` + 1, ... of one epoch.

    Raises:
        ValueError: The batch cannot be shared equally, or `start` or `rank` is out of range.
    """
    if batch_size % world_size:
        raise ValueError(f"batch_size must be a multiple of the {world_size} processes, got {batch_size}")
    if start < 0 or not 0 <= rank < world_size:
        raise ValueError(f"start must be 0 or more and rank below world_size {world_size}, got {start} and {rank}")
    for batch in range(start, steps(count, batch_size, drop_last=drop_last)):
        first = batch * batch_size
        total = min(batch_size, count - first)
        low, high = rank * total // world_size, (rank + 1) * total // world_size
        yield Share(batch, first + low, first + high, low, total)
