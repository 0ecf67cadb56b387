"""The ticket that a job asks for: whether its space has something to remove, and the ticket that it starts from."""

from collections.abc import Iterator
from pathlib import Path

from search_spaces import Space
from supernets.training.ticket_config import TicketConfig

_SUPERNET = "supernet.safetensors"


def mistakes(config: TicketConfig | None, space: Space | None, searcher: str) -> Iterator[str]:
    """Yield why a training cannot find a ticket, or cannot start from the one that it names.

    Args:
        config: Config of the tickets; None where the training has none.
        space: Space that is trained, as far as it is known.
        searcher: Name of the searcher of the job.
    """
    if config is None:
        return
    if space is not None and not _can_shrink(space):
        yield f"train.tickets: must be null: networks of {space.name} have no paths and masks, hr_multibranch has"
    if searcher != "derived":
        yield f"search.searcher: must be derived with train.tickets, which leaves one architecture, got {searcher!r}"
    if config.start is None:
        return
    file = supernet_file(config.start)
    if not file.is_file():
        yield f"train.tickets.start: must be the folder of a finished job or the file of a supernet, there is no {file}"
        return
    from supernets.transforms.take_ticket import read_ticket

    try:
        read_ticket(file)
    except ValueError as error:
        yield f"train.tickets.start: {error}"


def supernet_file(start: str) -> Path:
    """Return the file of the supernet that a start names."""
    path = Path(start)
    return path / _SUPERNET if path.is_dir() else path


def _can_shrink(space: Space) -> bool:
    """Return whether networks of a space have paths that can be removed; they are made without storage."""
    import torch

    from search_spaces.elastic import ElasticBranches

    if not space.is_elastic:
        return False
    with torch.device("meta"):
        return any(isinstance(module, ElasticBranches) for module in space.build().modules())
