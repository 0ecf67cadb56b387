"""A batch in parts that are computed one after the other, or by several processes, as if it were computed at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from supernets.tasks.task import Batch, Task
from supernets.training.distributed import Processes


@dataclass(frozen=True, kw_only=True)
class BatchPart:
    """Some of the examples of a batch.

    Args:
        batch: The examples.
        weights: Factors of their losses [B]; None for none.
        share: Part of the terms of the mean loss that they have; None for all that this process has.
        examples: Part of the examples that they are.
        processes: Number of processes whose gradients are averaged, where the share is one of all processes.
    """

    batch: Batch
    weights: Tensor | None
    share: Tensor | float | None = None
    examples: Tensor | float = 1.0
    processes: int = 1

    def scaled(self, loss: Tensor) -> Tensor:
        """Return what the mean loss of the part adds to that of the whole batch, before the mean over processes."""
        return loss if self.share is None else loss * (self.share * self.processes)

    def of_whole(self, errors: Tensor) -> Tensor:
        """Return errors of the examples [B], see `Task.output_errors`, as they are in the whole batch."""
        return errors if self.share is None else errors * (self.share / self.examples)


def batch_parts(
    batch: Batch, weights: Tensor | None, count: int, task: Task, processes: Processes | None = None
) -> Iterator[BatchPart]:
    """Yield the parts of a batch in its order; a batch of few examples has fewer.

    Args:
        batch: The share of this process in a batch.
        weights: Factors of the losses of its examples [B]; None for none.
        count: Number of parts.
        task: Knows how the losses of parts are put together.
        processes: This process and its siblings; alone by default. Where terms are counted on the device, the shares of
            processes may differ.
    """
    processes, size = processes or Processes(), len(batch[0])
    terms: Tensor | int = task.terms(batch)
    examples: Tensor | int = size
    joined = isinstance(terms, Tensor) and processes.world_size > 1
    if not joined and (count == 1 or size == 1):
        yield BatchPart(batch=batch, weights=weights)
        return
    if isinstance(terms, Tensor) and joined:
        terms, examples = processes.sum(torch.stack([terms, torch.full_like(terms, size)])).unbind()
    for begin, end in pairwise(sorted({size * i // count for i in range(count + 1)})):
        rows = tuple(tensor[begin:end] for tensor in batch)
        yield BatchPart(
            batch=rows,
            weights=None if weights is None else weights[begin:end],
            share=task.terms(rows) / terms,
            examples=(end - begin) / examples,
            processes=processes.world_size if joined else 1,
        )
