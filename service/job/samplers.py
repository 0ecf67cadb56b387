"""The way from the name of a sampler in a job to the function that makes it."""

from collections.abc import Iterator

from search_spaces import Space
from search_spaces.errors import FieldError
from service import catalogue
from service.job.validation import option_mistakes, placed
from supernets.samplers import MakeSampler, Sampler, offered
from supernets.samplers.sampler import GIVEN
from supernets.training.config import TrainConfig
from supernets.training.phases import phases

_NO_SAMPLER = "is not a sampler: it has no method draw, or it does not inherit from supernets.Sampler"


def maker(config: TrainConfig) -> MakeSampler:
    """Return what makes the samplers of a training.

    Raises:
        ValueError: There is no sampler of this name.
    """
    catalogue.check("sampler", config.sampler)

    def make_sampler(space: Space, subnets: int | None) -> Sampler:
        given, options = offered(space, subnets), config.sampler_options
        made = catalogue.make("sampler", config.sampler, offered=given, options=options)
        if not isinstance(made, Sampler):
            raise FieldError("sampler", f"{config.sampler} {_NO_SAMPLER}")
        return made

    return make_sampler


def mistakes(config: TrainConfig, space: Space | None) -> Iterator[str]:
    """Yield one line for each mistake in the sampler and its options.

    Args:
        config: Config of the training.
        space: Space that is trained, as far as it is known.
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
        phases(space, config, maker(config))
    except (ValueError, TypeError) as error:
        yield placed(error, "train.sampler", places)
