"""Fine-tune one architecture, starting from the weights it inherits from its supernet."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search_spaces import Architecture
from supernets import Phase, Supernet, Task, TrainConfig, train
from supernets.samplers import Fixed
from supernets.training import TrainingData
from supernets.training.supernet_training import default_task


def retrain(
    supernet: Supernet,
    architecture: Architecture,
    data: TrainingData,
    config: TrainConfig,
    *,
    task: Task | None = None,
    seed: int = 0,
    folder: Path | None = None,
    observer: Callable[[dict[str, Any]], None] = lambda event: None,
    validate: Callable[[Supernet], dict[str, float]] | None = None,
    teacher: nn.Module | None = None,
) -> Supernet:
    """Train a copy of the supernet with this architecture alone, and return the copy with it active.

    The loop is that of supernets, so checkpoints, resume and the divergence guard are the same. The given supernet
    does not change. `Supernet.extract` and `calibrate` make the result a plain network.

    Args:
        supernet: Trained supernet, from whose weights the architecture starts.
        architecture: Architecture to train.
        data: The training split.
        config: `epochs`, `lr`, `examples` and the optimizer; fields that say which subnets are trained are not used.
        task: What the network is trained for; by default classification by the labels of the batches.
        seed: Seed of data order and augmentation.
        folder: Folder for checkpoints.
        observer: Receives the events of the loop.
        validate: Called with the copy at the end of every epoch.
        teacher: A trained network that teaches beside the targets.
    """
    copy = deepcopy(supernet)
    phase = Phase(
        name=f"retrain {architecture.key}",
        sampler=Fixed(architecture=architecture),
        epochs=config.epochs,
        lr=config.lr,
        warmup_fraction=config.warmup_fraction,
        lr_schedule=config.lr_schedule,
    )
    copy.activate(architecture)
    task = task or default_task(config)
    train(
        copy,
        [phase],
        data,
        config,
        task=task,
        seed=seed,
        folder=folder,
        observer=observer,
        validate=validate,
        first_loss=_uninformed_loss(copy, data, task, config),
        teacher=teacher,
    )
    copy.activate(architecture)
    return copy


@torch.no_grad()
def _uninformed_loss(network: nn.Module, data: TrainingData, task: Task, config: TrainConfig) -> float:
    """Return the loss of outputs that are zero everywhere: the scale of losses that inherited weights do not show."""
    batch = next(data.batches(config.batch_size, epoch=0, seed=0, start=0, rank=0, world_size=1))
    output = network.eval()(*task.inputs(batch))
    return float(task.loss(torch.zeros_like(output), batch))
