"""Train one architecture alone: from the weights that it inherits from its supernet, or from fresh ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from search_spaces import Architecture, Space
from supernets import Phase, Supernet, Task, TrainConfig, train
from supernets.device import computing
from supernets.folding import folded
from supernets.samplers import Fixed
from supernets.tasks.further_outputs import FurtherOutputs
from supernets.training import TrainingData
from supernets.training.balanced_examples import BalancedExamples, groups_of
from supernets.training.loop import Run, train_steps
from supernets.training.schedule import Stretch
from supernets.training.steps.alone import AloneStep
from supernets.training.supernet_training import default_task, loop_config


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
    does not change. Where it has experts, the copy has the plain layers that they are for this architecture.
    `Supernet.extract` and `calibrate` make the result a plain network.

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
    copy, config = folded(supernet, architecture), replace(config, tickets=None)  # masks of a ticket stay as they are
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


def train_from_scratch(
    space: Space,
    architecture: Architecture,
    data: TrainingData,
    config: TrainConfig,
    *,
    device: torch.device | None = None,
    task: Task | None = None,
    seed: int = 0,
    folder: Path | None = None,
    observer: Callable[[dict[str, Any]], None] = lambda event: None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    start: Callable[[nn.Module], None] = lambda network: None,
) -> nn.Module:
    """Train one architecture alone from fresh weights, as the paper of its space does; return the plain network.

    What only the training has, such as a second classifier, is left out of the result. Statistics of norms are those of
    the training, so it is not calibrated.

    Args:
        space: Space of the networks that are trained: `space.alone.options` says which one the paper takes.
        architecture: Architecture to train.
        data: The training split.
        config: `epochs`, `lr`, `examples` and the optimizer; fields that say which subnets are trained are not used.
        device: Device of the network; by default that of the CPU.
        task: What the network is trained for; by default classification by the labels of the batches.
        seed: Seed of weights, data order and augmentation.
        folder: Folder for checkpoints; an interrupted training goes on from them.
        observer: Receives the events of the loop.
        validate: Called with the network, in evaluation mode, at the end of every epoch.
        start: Called with the fresh network, whose weights it may replace.
    """
    architecture, alone = space.architecture(architecture), space.alone
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = space.subnet(architecture) if alone.network is None else alone.network(architecture)
    start(network.to(device or torch.device("cpu")))
    task = task or default_task(config)
    step = AloneStep(
        network=network,
        config=config,
        task=FurtherOutputs(task, alone.further),
        begin_epoch=alone.begin_epoch,
        balanced=BalancedExamples(groups_of(data, task), seed) if config.examples == "balanced" else None,
    )
    stretch = Stretch(
        name="alone",
        epochs=config.epochs,
        lr=config.lr,
        lr_end=config.lr_end,
        warmup_fraction=config.warmup_fraction,
        lr_schedule=config.lr_schedule,
    )

    def validated() -> dict[str, float]:
        found = {} if validate is None else validate(network.eval())
        network.train()
        return found

    run = Run(seed=seed, folder=folder, observer=observer, validate=None if validate is None else validated)
    with computing(step.device, kernels=config.own_kernels):
        train_steps(step, [stretch], data, loop_config(config), run)
    plain = space.subnet(architecture).to(step.device)
    trained = network.state_dict()
    plain.load_state_dict({name: trained[name] for name in plain.state_dict()})
    return plain.eval()


@torch.no_grad()
def _uninformed_loss(network: nn.Module, data: TrainingData, task: Task, config: TrainConfig) -> float:
    """Return the loss of outputs that are zero everywhere: the scale of losses that inherited weights do not show."""
    batch = next(data.batches(config.batch_size, epoch=0, seed=0, start=0, rank=0, world_size=1))
    output = network.eval()(*task.inputs(batch))
    return float(task.loss(torch.zeros_like(output), batch))
