"""From the name of a sampler in a job to what makes it."""

from collections.abc import Iterator

from search_spaces import Space
from service import catalogue
from service.job.validation import option_mistakes, placed
from supernets.samplers.sampler import GIVEN, offered
from supernets.training.config import TrainConfig
from supernets.training.phases import MakeSampler, phases


def maker(config: TrainConfig) -> MakeSampler:
    """Return what makes the samplers of a training.

    Raises:
        ValueError: There is no sampler of this name.
    """
    catalogue.check("sampler", config.sampler)
    return lambda space, subnets: catalogue.make(
        "sampler", config.sampler, offered=offered(space, subnets), options=config.sampler_options
    )


def mistakes(config: TrainConfig, space: Space | None) -> Iterator[str]:
    """Yield what is wrong with the sampler and its options, one line each.

    Args:
        config: Of the training.
        space: What is trained, as far as that is known.
    """
    try:
        catalogue.check("sampler", config.sampler)
    except ValueError as error:
        yield f"train.sampler: {error}"
        return
    path = "train.sampler_options"
    places = {option: f"{path}.{option}" for option in config.sampler_options}
    places = {"subnets": "train.subnets_per_step", "schedule": "train.schedule"} | places
    try:
        wrong = list(option_mistakes("sampler", config.sampler, config.sampler_options, path=path, hidden=GIVEN))
        yield from wrong
        if wrong or space is None:
            return
        made = phases(space, config, maker(config))
    except (ValueError, TypeError) as error:
        yield placed(error, "train.sampler", places)
        return
    if not callable(getattr(made[0].sampler, "draw", None)):
        yield f"train.sampler: {config.sampler} has no method draw(generator), so it is no sampler"
