"""From the name of a sampler in a job to what makes it."""

from collections.abc import Iterator

from search_spaces import Space
from service.catalogue import resolve
from service.job.validation import keyword_mistakes
from supernets.samplers import build_sampler
from supernets.samplers.sampler import GIVEN
from supernets.training.config import TrainConfig
from supernets.training.phases import MakeSampler, phases


def maker(config: TrainConfig) -> MakeSampler:
    """Makes the samplers of a training.

    Raises:
        ValueError: There is no sampler of this name.
    """
    kind = resolve("sampler", config.sampler)
    return lambda space, subnets: build_sampler(kind, space, subnets=subnets, options=config.sampler_options)


def mistakes(config: TrainConfig, space: Space | None) -> Iterator[str]:
    """What is wrong with the sampler and its options, one line each.

    Args:
        config: Of the training.
        space: What is trained, as far as that is known.
    """
    try:
        kind = resolve("sampler", config.sampler)
    except ValueError as error:
        yield f"train.sampler: {error}"
        return
    path, options = "train.sampler_options", list(config.sampler_options)
    try:
        wrong = list(keyword_mistakes(kind, config.sampler_options, path=path, owner=config.sampler, hidden=GIVEN))
        yield from wrong
        if wrong or space is None:
            return
        made = phases(space, config, maker(config))
    except (ValueError, TypeError) as error:
        yield _placed(str(error), options)
        return
    if not callable(getattr(made[0].sampler, "draw", None)):
        yield f"train.sampler: {config.sampler} has no method draw(generator), so it is no sampler"


def _placed(message: str, options: list[str]) -> str:
    """The message with the field that it is about in front."""
    first, _, rest = message.partition(" ")
    if first in options:
        return f"train.sampler_options.{first}: {rest}"
    places = {"subnets": "train.subnets_per_step", "progressive": "train.schedule"}
    place = places.get(first, "train.sampler")
    return f"{place}: {rest if first == 'subnets' else message}"
