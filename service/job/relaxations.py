"""The relaxation or the mixture that a job asks for: whether its space allows it."""

from collections.abc import Iterator

from search_spaces import Space
from search_spaces.errors import FieldError
from search_spaces.listing import can_be_listed
from search_spaces.relaxing import relaxing
from supernets.training.config import TrainConfig
from supernets.training.relaxation_config import cost_mistake


def mistakes(config: TrainConfig, space: Space | None, *, has_table: bool) -> Iterator[str]:
    """Yield why a space cannot be relaxed, its architectures assigned or its bits averaged, where a training asks it.

    Args:
        config: Config of the training.
        space: Space that is trained, as far as it is known.
        has_table: Whether the job has a latency table.
    """
    if space is None:
        return
    if config.mixture is not None and not can_be_listed(space):
        yield f"train.mixture: must be null: {space.name} has too many architectures to be listed"
    if config.ema_decay is not None and space.simulated is not None:
        yield "train.ema_decay: must be null with space.precision: ranges are only known after the first step"
    if config.relaxation is not None and space.simulated is not None:
        yield "train.relaxation: must be null with space.precision: bits cannot be mixed"
    elif config.relaxation is not None:
        try:
            relaxing(space)
        except FieldError as error:
            yield f"train.{error.field}: {error.text}"
            return
        cost = config.relaxation.cost
        if cost is not None and (mistake := cost_mistake(space, cost, has_table=has_table)):
            yield f"train.relaxation.cost: {mistake}"
