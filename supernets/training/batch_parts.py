"""A batch in parts that are computed one after the other, whose losses add up to that of the whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from supernets.tasks.task import Batch, Task


@dataclass(frozen=True, kw_only=True)
class BatchPart:
    """Some of the examples of a batch.

    Args:
        batch: The examples.
        weights: Factors of their losses [B]; None for none.
        share: Part of the terms of the mean loss that they have; None for all.
        examples: Part of the examples that they are.
    """

    batch: Batch
    weights: Tensor | None
    share: Tensor | float | None = None
    examples: float = 1.0

    def scaled(self, loss: Tensor) -> Tensor:
        """Return what the mean loss of the part adds to that of the whole batch."""
        return loss if self.share is None else loss * self.share

    def of_whole(self, errors: Tensor) -> Tensor:
        """Return errors of the examples [B], see `Task.output_errors`, as they are in the whole batch."""
        return errors if self.share is None else errors * (self.share / self.examples)


def batch_parts(batch: Batch, weights: Tensor | None, count: int, task: Task) -> Iterator[BatchPart]:
    """Yield the parts of a batch in its order; a batch of few examples has fewer.

    Args:
        batch: The batch.
        weights: Factors of the losses of its examples [B]; None for none.
        count: Number of parts.
        task: Knows how the losses of parts are put together.
    """
    size = len(batch[0])
    if count == 1 or size == 1:
        yield BatchPart(batch=batch, weights=weights)
        return
    terms = task.terms(batch)
    cuts = sorted({size * i // count for i in range(count + 1)})
    for begin, end in pairwise(cuts):
        rows = tuple(tensor[begin:end] for tensor in batch)
        yield BatchPart(
            batch=rows,
            weights=None if weights is None else weights[begin:end],
            share=task.terms(rows) / terms,
            examples=(end - begin) / size,
        )
