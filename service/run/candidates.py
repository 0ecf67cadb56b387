"""The networks that a search judges: subnets of the supernet, or networks that are trained for themselves."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from nas.alone_subnets import AloneSubnets
from nas.data import Data
from search_spaces import Architecture, Space
from service.job.job import Job
from supernets import Task, TrainConfig

FOLDER = "alone"
"""Folder of a job with the candidates that were trained for themselves."""


def trained_candidates(
    job: Job,
    space: Space,
    task: Task,
    *,
    data: Callable[[], Data],
    inherited: Callable[[Architecture], nn.Module] | None,
    folder: Path,
    device: torch.device,
) -> AloneSubnets:
    """Return the candidates of a search that trains each of them, as `search.alone` says.

    Args:
        job: Job that says how.
        space: Space of the candidates.
        task: What they are trained for.
        data: Returns the data.
        inherited: Returns a candidate with the weights of the supernet, where candidates begin with these; else None.
        folder: Folder of the job.
        device: Device that they are trained on.
    """
    alone = job.search.alone
    assert alone is not None
    config = alone_config(job.train, space, alone.epochs or job.train.epochs, None)
    return AloneSubnets(
        space,
        lambda: data().train,
        config,
        task,
        folder=folder / FOLDER,
        seed=job.seed,
        device=device,
        begin=inherited,
        shares=alone.weights == "shared",
    )


def alone_config(train: TrainConfig, space: Space, epochs: float | None, lr: float | None) -> TrainConfig:
    """Return the settings of a training alone: the optimizer is that of the supernet."""
    return TrainConfig(
        epochs=epochs or space.alone.epochs or train.epochs,
        lr=lr or train.lr,
        lr_end=min(train.lr_end, lr or train.lr),
        examples="balanced" if train.examples == "balanced" else "uniform",
        **{name: getattr(train, name) for name in _KEPT},
    )


_KEPT = (
    *("batch_size", "optimizer", "momentum", "nesterov", "beta2", "weight_decay", "decayed", "clip_norm"),
    *(
        "warmup_fraction",
        "lr_schedule",
        "label_smoothing",
        "accumulate",
        "bf16",
        "own_kernels",
        "max_rollbacks",
        "checkpoint_every_s",
    ),
)
"""Settings of the supernet's training that hold for one network, too."""
