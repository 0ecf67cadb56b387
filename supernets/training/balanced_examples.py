"""The order of training examples in which every class comes equally often.

Paper: class-balanced sampling, Kang et al., arXiv 1910.09217, section 4.1 (q = 0).
Differs: examples are not drawn independently. Each epoch of N examples shows each of the C classes N / C times, rounded
up or down by lot, and no example of a class is shown again before all others of that class were shown. The expected
share of each example is that of the paper, 1 / (C n_c) for an example of a class of n_c, with less variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from search_spaces.errors import FieldError
from supernets.streams import EXAMPLE_ORDER
from supernets.training.examples import TrainingData

if TYPE_CHECKING:
    from supernets.tasks.task import Task

_BATCH = 500


@runtime_checkable
class GroupedData(TrainingData, Protocol):
    """Training data that know the classes of their examples without reading them."""

    def groups(self) -> Tensor:
        """Return what `Task.groups` gives for all examples, int64 [N] on the CPU."""
        ...


class BalancedExamples:
    """The order of the examples of each epoch; it follows from the seed and the epoch alone.

    Args:
        groups: Class of each training example, int64 [N].
        seed: Seed of the orders.
    """

    def __init__(self, groups: Tensor, seed: int) -> None:
        self._members = [np.flatnonzero(groups.numpy() == label) for label in np.unique(groups.numpy())]
        self.seed, self.count = seed, len(groups)

    def order(self, epoch: int) -> Tensor:
        """Return the examples of an epoch in the order in which they are shown, int64 [N] on the CPU."""
        generator = EXAMPLE_ORDER.generator(self.seed, epoch)
        each, more = divmod(self.count, len(self._members))
        luck = set(generator.permutation(len(self._members))[:more].tolist())
        shown = [_in_turns(members, each + (number in luck), generator) for number, members in enumerate(self._members)]
        return torch.from_numpy(generator.permutation(np.concatenate(shown)))


def groups_of(data: TrainingData, task: Task) -> Tensor:
    """Return the class of each training example, int64 [N] on the CPU.

    Data that do not know it are read once.

    Raises:
        FieldError: The examples of the task have no classes.
    """
    if isinstance(data, GroupedData):
        return data.groups()
    found = []
    for batch in data.sequential(_BATCH):
        groups = task.groups(batch)
        if groups is None:
            raise FieldError("examples", "balanced needs a task whose examples have classes, and these have none")
        found.append(groups.cpu().long())
    return torch.cat(found)


def _in_turns(members: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return `count` of the members: all of them in random order, again and again."""
    rounds = -(-count // len(members))
    return np.concatenate([generator.permutation(members) for _ in range(rounds)] or [members[:0]])[:count]
