"""Fine-tune one architecture, starting from the weights it inherits from its supernet."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from search_spaces import Architecture
from supernets import Phase, Supernet, TrainConfig, train
from supernets.samplers import Fixed
from supernets.training import TrainingImages


def retrain(
    supernet: Supernet,
    architecture: Architecture,
    images: TrainingImages,
    config: TrainConfig,
    *,
    seed: int = 0,
    folder: Path | None = None,
    observer: Callable[[dict[str, Any]], None] = lambda event: None,
    validate: Callable[[Supernet], dict[str, float]] | None = None,
) -> Supernet:
    """Train a copy of the supernet with this architecture alone; returns the copy with it active.

    The loop is that of supernets, so checkpoints, resume and the divergence guard are the same. The given supernet
    does not change. `Supernet.extract` and `calibrate` make the result a plain network.

    Args:
        supernet: Trained; its weights are where the architecture starts.
        architecture: The one to train.
        images: The training split.
        config: `epochs`, `lr`, `examples` and the optimizer; what says which subnets are trained is not used.
        seed: Of data order and augmentation.
        folder: For checkpoints.
        observer: Receives the events of the loop.
        validate: Called with the copy at the end of every epoch.
    """
    copy = deepcopy(supernet)
    phase = Phase(
        name=f"retrain {architecture.key}",
        sampler=Fixed(architecture=architecture),
        epochs=config.epochs,
        lr=config.lr,
        warmup_fraction=config.warmup_fraction,
    )
    train(copy, [phase], images, config, seed=seed, folder=folder, observer=observer, validate=validate)
    copy.activate(architecture)
    return copy
