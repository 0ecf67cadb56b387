"""The splits that a job asks for."""

from collections.abc import Iterator

from search_spaces import Space
from supernets import SplitConfig, TrainConfig
from supernets.training.few_shot_budget import splittable


def wanted(config: TrainConfig) -> SplitConfig | None:
    """How the supernet is split while it is trained; None where it is not."""
    return getattr(config, "split", None)


def mistakes(config: TrainConfig, space: Space | None) -> Iterator[str]:
    """What is wrong with the splits, one line each; the space as far as that is known."""
    split = wanted(config)
    if split is None or space is None:
        return
    try:
        splittable(space, split)
    except ValueError as error:
        yield f"train.split.{str(error).replace(' ', ': ', 1)}"
