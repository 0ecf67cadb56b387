"""Training of a supernet: the step of supernets in the loop."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from search_spaces.errors import FieldError
from supernets.device import computing
from supernets.mixture import Mixture
from supernets.supernet import Supernet
from supernets.tasks.classification import Classification
from supernets.tasks.task import Task
from supernets.training.adaptation import Adaptation
from supernets.training.balanced_examples import BalancedExamples, groups_of
from supernets.training.capture.capturing import capturing
from supernets.training.config import TrainConfig
from supernets.training.distributed import Processes
from supernets.training.example_importance import ExampleImportance
from supernets.training.examples import TrainingData
from supernets.training.expected_cost import ExpectedCost
from supernets.training.halves import Halves
from supernets.training.loop import LoopConfig, Observer, Run, train_steps
from supernets.training.phases import Phase
from supernets.training.steps.bilevel import BilevelStep
from supernets.training.steps.features import FeatureStep
from supernets.training.steps.mixture import MixtureStep
from supernets.training.steps.step import Step
from supernets.training.steps.supernet import SupernetStep
from supernets.training.steps.tickets import TicketStep


def train(
    supernet: Supernet,
    phases: Sequence[Phase],
    data: TrainingData,
    config: TrainConfig,
    *,
    task: Task | None = None,
    seed: int = 0,
    folder: Path | None = None,
    observer: Observer = lambda event: None,
    validate: Callable[[Supernet], dict[str, float]] | None = None,
    processes: Processes | None = None,
    optimizer_state: Mapping[str, Any] | None = None,
    first_loss: float | None = None,
    teacher: nn.Module | None = None,
    blocks_ms: np.ndarray | None = None,
) -> Supernet:
    """Train a supernet through its phases; with a folder, write checkpoints there and continue from the newest.

    Args:
        supernet: Trained in place, on its device.
        phases: What to train when, see `supernets.training.phases`. Learned samplers begin as they are given.
        data: The training split.
        config: Optimizer and guard settings.
        task: What is trained for; by default classification by the labels of the batches, smoothed as `config` says.
        seed: Seed of data order, augmentation, architectures and dropout.
        folder: Folder for checkpoints; nothing is written without it.
        observer: Receives ``train``, ``validate``, ``rollback`` and ``sampler`` events as dictionaries.
        validate: Called at the end of every epoch in the first process; its numbers go to the observer.
        processes: This process and its siblings; alone by default.
        optimizer_state: Momentum to begin with, of a network with the same parameters; see `final_optimizer_state`.
        first_loss: Loss that a training from fresh weights begins with, where this one goes on from trained ones.
        teacher: A network with outputs like those of the supernet that teaches beside the targets, in place of any
            teacher of the phases. It is brought to the device, and into evaluation mode.
        blocks_ms: Latency [M] in ms of the distinct blocks of the space, where the settings of a relaxation limit the
            expected latency.

    Raises:
        FieldError: Classes are to be balanced, and the examples of the task have none; or the space cannot be relaxed.
        RuntimeError: The loss diverged more than `config.max_rollbacks` times.
    """
    processes, task = processes or Processes(), default_task(config) if task is None else task
    if teacher is not None:
        phases, teacher = [phase.taught() for phase in phases], _frozen(teacher, supernet, config)

    def validated() -> dict[str, float]:
        found = {} if validate is None else validate(supernet)
        supernet.train()
        return found

    what: dict[str, Any] = {"supernet": supernet, "phases": phases, "config": config, "task": task, "external": teacher}
    step: Step
    if config.relaxation is not None:
        step = _bilevel(what, data, blocks_ms, seed=seed, processes=processes)
    elif config.mixture is not None:
        step = _mixture(what, data, seed=seed, processes=processes)
    elif config.tickets is not None:
        step = TicketStep(**what, processes=processes, epoch_steps=data.steps(config.batch_size))
    else:
        kind = FeatureStep if config.feature_weight else SupernetStep
        step = kind(
            **what,
            processes=processes,
            examples=_example_importance(supernet, data, config, seed, processes),
            balanced=BalancedExamples(groups_of(data, task), seed) if config.examples == "balanced" else None,
            optimizer_state=optimizer_state,
            adaptation=Adaptation(
                config=config, data=data, task=task, seed=seed, processes=processes, observer=observer, judge=validated
            ),
            capturing=capturing(supernet, config, observer)
            if kind is SupernetStep and processes.world_size == 1
            else None,
        )
    looks = None if validate is None else validated
    run = Run(seed=seed, folder=folder, observer=observer, validate=looks, processes=processes, first_loss=first_loss)
    with computing(step.device, kernels=config.own_kernels):
        train_steps(step, phases, data, loop_config(config), run)
    supernet.activate(supernet.space.largest())
    return supernet


def _bilevel(
    what: Mapping[str, Any], data: TrainingData, blocks_ms: np.ndarray | None, *, seed: int, processes: Processes
) -> BilevelStep:
    """Return the step that learns the architecture with the weights."""
    supernet, config = what["supernet"], what["config"]
    relaxation = config.relaxation
    assert relaxation is not None
    if processes.world_size > 1 and relaxation.hypergradient != "first":
        allowed = f"first with {processes.world_size} processes, each of which sees a part of the batch"
        raise FieldError("relaxation.hypergradient", f"must be {allowed}, got {relaxation.hypergradient!r}")
    halves = Halves(
        len(data), relaxation.share, batch_size=config.batch_size, seed=seed, world_size=processes.world_size
    )
    cost = relaxation.cost
    step = BilevelStep(
        supernet=supernet,
        config=config,
        relaxation=relaxation,
        task=what["task"],
        halves=halves,
        processes=processes,
        seed=seed,
        cost=None if cost is None else ExpectedCost(supernet.space, cost, blocks_ms),
    )
    try:
        supernet.relax(step.relaxed.setting(step.relaxed.uniform(), step.weights[0]))
    except TypeError as error:
        raise FieldError("relaxation", f"must be null: {error}") from error
    return step


def _mixture(what: Mapping[str, Any], data: TrainingData, *, seed: int, processes: Processes) -> MixtureStep:
    """Return the step that trains several supernets and learns which suits an architecture."""
    supernet, config = what["supernet"], what["config"]
    mixture = config.mixture
    assert mixture is not None
    if not isinstance(supernet, Mixture) or len(supernet.leaves) != mixture.members:
        raise ValueError(f"a training with a mixture needs a Mixture of {mixture.members} supernets")
    size, world_size = config.batch_size, processes.world_size
    halves = Halves(len(data), mixture.share, batch_size=size, seed=seed, world_size=world_size)
    return MixtureStep(**what, processes=processes, mixture=mixture, halves=halves)


def _frozen(teacher: nn.Module, supernet: Supernet, config: TrainConfig) -> nn.Module:
    """Return a teacher as it teaches, on the device of the supernet."""
    if config.relaxation is not None:
        raise FieldError("teacher", "must be null with a relaxation, which learns from the targets alone")
    return teacher.to(next(supernet.parameters()).device).requires_grad_(False).eval()


def default_task(config: TrainConfig) -> Task:
    """Return the task of a training that is given none."""
    return Classification(label_smoothing=config.label_smoothing)


def loop_config(config: TrainConfig) -> LoopConfig:
    """Return the settings of the loop around a supernet step."""
    return LoopConfig(
        batch_size=config.batch_size,
        max_rollbacks=config.max_rollbacks,
        checkpoint_every_s=config.checkpoint_every_s,
    )


def _example_importance(
    supernet: Supernet, data: TrainingData, config: TrainConfig, seed: int, processes: Processes
) -> ExampleImportance | None:
    if config.examples != "importance":
        return None
    return ExampleImportance(
        count=len(data),
        batch_size=config.batch_size,
        seed=seed,
        weighted=config.example_weights,
        processes=processes,
        device=next(supernet.parameters()).device,
    )
