"""The experts that a job asks for: whether the networks of its space have layers for them."""

from collections.abc import Iterator

from search_spaces import Space
from search_spaces.errors import FieldError
from supernets.experts_config import ExpertsConfig
from supernets.training.config import TrainConfig


def mistakes(config: ExpertsConfig | None, space: Space | None, train: TrainConfig) -> Iterator[str]:
    """Yield why a supernet cannot have the experts that a job asks for.

    Args:
        config: Settings of the experts; None where the job asks for none.
        space: Space of the job, which has the experts already, as far as it is known.
        train: Settings of the training.
    """
    if config is None:
        return
    if space is not None and not space.is_elastic:
        yield f"supernet.mixture: must be null: {space.name} has no supernet"
        return
    if space is not None:
        from search_spaces.plain import ElasticOnMeta

        try:
            ElasticOnMeta(space.build)
        except FieldError as error:
            yield f"supernet.{error.field}: {error.text}"
            return
    why = "with supernet.mixture, which blends weights for one architecture"
    if train.relaxation is not None:
        yield f"train.relaxation: must be null {why}, and a relaxation mixes several"
    if train.split is not None and train.split.others == "relaxed":
        yield f"train.split.others: must be random {why}, got 'relaxed'"
