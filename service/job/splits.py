"""The splits that a job asks for."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from search_spaces import Decision, Space
from search_spaces.errors import FieldError
from service.job.samplers import maker
from supernets.training.config import TrainConfig
from supernets.training.phases import phases

if TYPE_CHECKING:
    from supernets.training.few_shot_budget import Budget, MakePhases
    from supernets.training.split_config import SplitConfig


def mistakes(config: TrainConfig, space: Space | None) -> Iterator[str]:
    """Yield what is wrong with the splits, one line each; the space as far as that is known."""
    if config.split is None or space is None:
        return
    from supernets.training.few_shot_budget import splittable

    try:
        splittable(space, config.split)
    except FieldError as error:
        yield _placed(error)


def splittable_of(space: Space, split: "SplitConfig") -> "list[Decision]":
    """Return the decisions that may be split."""
    from supernets.training.few_shot_budget import splittable

    return splittable(space, split)


def part_phases(config: TrainConfig) -> "MakePhases":
    """Return the function that makes the phases of training a part of a space for a number of epochs."""
    return lambda part, epochs: phases(part, replace(config, epochs=epochs), maker(config))


def budget(config: TrainConfig, space: Space, epoch_steps: int) -> "Budget":
    """Return what the stages of a training with splits may spend.

    Raises:
        ValueError: The budget is too small; the message begins with the field.
    """
    from supernets.training.few_shot_budget import Budget

    assert config.split is not None
    try:
        return Budget.of(space, part_phases(config)(space, config.epochs), epoch_steps, config.split)
    except FieldError as error:
        raise ValueError(_placed(error)) from error


def _placed(error: FieldError) -> str:
    return f"train.split.{error.field}: {error.text}"
