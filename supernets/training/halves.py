"""Training examples in two parts, of which weights learn from one and logits from the other."""

import numpy as np
import torch
from torch import Tensor

from search_spaces.errors import FieldError
from supernets.streams import HALVES
from supernets.tasks.task import Batch
from supernets.training.config import can_be_divided, second_part


class Halves:
    """Two fixed parts of the training examples; batches begin with some of the first and end with some of the second.

    The order of an epoch follows from the seed and the epoch alone. A part may show some of its examples once more than
    others in an epoch, or not at all, where the sizes do not divide.

    Args:
        count: Number of training examples.
        share: Part of them, and of every batch, that belongs to the second part.
        batch_size: Examples of one step, over all processes together.
        seed: Seed of the parts and the orders.
        world_size: Processes that share each batch; the batch of each is divided alike.

    Raises:
        FieldError: A batch is too small to be divided.
    """

    def __init__(self, count: int, share: float, *, batch_size: int, seed: int, world_size: int = 1) -> None:
        self.count, self.share, self.seed, self.processes = count, share, seed, world_size
        self.batch_size = min(batch_size, count)
        self.local = self.batch_size // world_size
        self.second = second_part(self.local, share)
        if not can_be_divided(self.local, share):
            needs = "enough for two examples for the weights and two for what is learned about choices"
            raise FieldError("batch_size", f"must be {needs}, got {batch_size} of {count} examples, share {share}")
        order = HALVES.generator(seed, 0).permutation(count)
        cut = count - second_part(count, share)
        self.parts = (order[:cut], order[cut:])

    def order(self, epoch: int) -> Tensor:
        """Return the examples of an epoch in the order in which they are shown, int64 [N] on the CPU."""
        generator = HALVES.generator(self.seed, 1, epoch)
        batches = max(1, self.count // self.batch_size)
        rows = batches * self.processes
        first = _in_turns(self.parts[0], rows * (self.local - self.second), generator).reshape(rows, -1)
        second = _in_turns(self.parts[1], rows * self.second, generator).reshape(rows, -1)
        shown = np.concatenate([first, second], axis=1).reshape(-1)
        left = np.resize(self.parts[0], self.count - len(shown))  # in no whole batch: never shown
        return torch.from_numpy(np.concatenate([shown, left]).astype(np.int64))

    def divided(self, batch: Batch) -> tuple[Batch, Batch]:
        """Return the examples of this process that weights learn from, and those that logits learn from."""
        cut = len(batch[0]) - self.second
        return tuple(tensor[:cut] for tensor in batch), tuple(tensor[cut:] for tensor in batch)


def _in_turns(members: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Return so many members: all of them in random order, again and again."""
    rounds = max(1, -(-count // len(members)))
    return np.concatenate([generator.permutation(members) for _ in range(rounds)])[:count]
