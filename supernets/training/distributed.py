"""Data-parallel training: processes started by torchrun that train as one.

All processes draw the same architectures and hold shares of one batch. Batch norm uses the statistics of the joined
batch and gradients are averaged once a step, so the result is that of one process with the whole batch.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from search_spaces.elastic import ElasticBatchNorm2d
from search_spaces.elastic.traced import ElasticGraph

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those of a training: `rank` of `world_size`."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def join_batch_norm(self, network: nn.Module) -> None:
        """Let batch norms use the statistics of all processes."""
        for module in network.modules():
            if isinstance(module, ElasticBatchNorm2d | ElasticGraph):
                module.synchronised = self.world_size > 1

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over processes; all have gradients of the same parameters."""
        if self.world_size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(joined)
        joined /= self.world_size
        parts = joined.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts):
            gradient.copy_(part.view_as(gradient))

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Return the mean of a tensor over processes."""
        if self.world_size > 1:
            dist.all_reduce(value)
            value = value / self.world_size
        return value

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over processes."""
        if self.world_size > 1:
            dist.all_reduce(value)
        return value

    def first_says(self, value: T) -> T:
        """Return the value of the first process, in all of them."""
        if self.world_size == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said, src=0)
        return said[0]

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world_size > 1:
            dist.barrier()


def share_devices() -> bool:
    """Return whether several processes of this machine compute on one CUDA device: NCCL refuses that, gloo does not."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > torch.cuda.device_count()


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Join the processes that torchrun started; yield one process where it did not."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield Processes()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" and not share_devices() else "gloo")
    try:
        yield Processes(dist.get_rank(), world_size)
    finally:
        dist.destroy_process_group()
