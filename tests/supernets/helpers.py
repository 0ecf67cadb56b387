"""Supernets and training data for tests."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from search_spaces import Space
from search_spaces.elastic import ElasticBatchNorm2d, ElasticLayerNorm, KernelTransforms
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from supernets import Supernet
from supernets.streams import DATA_ORDER, SUBSET


def tiny_mobilenet(**options: Any) -> Space:
    """Return two narrow stages of one or two blocks for the images of `Images`, with other options where given."""
    plain = {"kernels": (3, 5), "expands": (1, 2), "depths": (1, 2), "last_width": 16, "feature_width": 16}
    narrow = {"stem_width": 8, "first_width": 8, "stage_widths": (8, 16), "strides": (1, 2)}
    return small_mobilenet_v3(image_size=8, channels=1, classes=4, **{**narrow, **plain, **options})


def scrambled(supernet: Supernet, seed: int = 0) -> Supernet:
    """Give norms and kernel transforms values that a trained network could have, instead of ones and zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in supernet.modules():
            if isinstance(module, ElasticBatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                if module.weight is None or module.bias is None:
                    continue
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
            if isinstance(module, ElasticLayerNorm):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.2, generator=generator)
            if isinstance(module, KernelTransforms):
                for matrix in module.matrices.values():
                    matrix.add_(torch.randn(matrix.shape, generator=generator) * 0.05)
    return supernet


class Images:
    """Training images made of noise with a class-dependent mean, in a fixed order for each (seed, epoch)."""

    def __init__(self, n: int = 96, size: int = 8, channels: int = 1, classes: int = 4) -> None:
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(n) % classes
        self.images = torch.randn(n, channels, size, size, generator=generator)
        self.images += self.labels[:, None, None, None].float() - classes / 2

    def __len__(self) -> int:
        return len(self.labels)

    def steps(self, batch_size: int) -> int:
        return len(self.labels) // batch_size

    def batches(self, batch_size, *, epoch, seed, start=0, rank=0, world_size=1, order=None):
        if order is None:
            order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(1000 * seed + epoch))
        share = batch_size // world_size
        for i in range(start, self.steps(batch_size)):
            rows = order[i * batch_size + rank * share : i * batch_size + (rank + 1) * share]
            yield self.images[rows], self.labels[rows]


class Rows:
    """Any tensors as training data: one example a row, in an order that follows from (seed, epoch).

    Args:
        tensors: What a batch holds, each [N, ...].
        pause_s: Seconds that each batch takes to come, so that a training can be interrupted.
    """

    def __init__(self, *tensors: torch.Tensor, pause_s: float = 0.0) -> None:
        self.tensors, self.pause_s = tensors, pause_s

    def __len__(self) -> int:
        return len(self.tensors[0])

    def steps(self, batch_size: int) -> int:
        return len(self) // batch_size

    def batches(self, batch_size, *, epoch, seed, start=0, rank=0, world_size=1, order=None):
        if order is None:
            order = torch.randperm(len(self), generator=DATA_ORDER.torch_generator(seed, epoch))
        share = batch_size // world_size
        for i in range(start, self.steps(batch_size)):
            time.sleep(self.pause_s)
            rows = order[i * batch_size + rank * share : i * batch_size + (rank + 1) * share]
            yield tuple(tensor[rows] for tensor in self.tensors)

    def sequential(self, batch_size):
        yield from zip(*(tensor.split(batch_size) for tensor in self.tensors))

    def subset(self, count, /, seed):
        rows = torch.randperm(len(self), generator=SUBSET.torch_generator(seed))[:count]
        return Rows(*(tensor[rows] for tensor in self.tensors))


def resumed_after(trained: Callable[..., Supernet], folder: Path, events: Sequence[int]) -> Supernet:
    """Return what a training gives that is stopped after so many events each time, and at least once.

    Args:
        trained: Trains with `folder` and `observer`.
        folder: Folder of its checkpoints.
        events: Events after which it is stopped; the last are more than it has.
    """
    interruptions = 0
    for most in events:
        left = iter(range(most))

        def stop(_, left=left):
            if next(left, None) is None:
                raise InterruptedError

        try:
            resumed = trained(folder=folder, observer=stop)
        except InterruptedError:
            interruptions += 1
    assert interruptions >= 1
    return resumed
