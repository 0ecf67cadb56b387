"""The relaxation that a job asks for: whether its space can be relaxed."""

from collections.abc import Iterator

from search_spaces import Space
from search_spaces.errors import FieldError
from search_spaces.relaxing import relaxing
from supernets.training.config import TrainConfig


def mistakes(config: TrainConfig, space: Space | None) -> Iterator[str]:
    """Yield why a space cannot be relaxed, where the training asks for it.

    Args:
        config: Config of the training.
        space: Space that is trained, as far as it is known.
    """
    if config.relaxation is None or space is None:
        return
    try:
        relaxing(space)
    except FieldError as error:
        yield f"train.{error.field}: {error.text}"
