"""The ticket that a job asks for: whether its space has something to remove, and the ticket that it starts from."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces import Space
from supernets.training.ticket_config import TicketConfig

if TYPE_CHECKING:
    from torch import nn

_SUPERNET = "supernet.safetensors"


def mistakes(
    config: TicketConfig | None, space: Space | None, searcher: str, *, started: bool = False
) -> Iterator[str]:
    """Yield why a training cannot find a ticket, or cannot start from the one that it names.

    Args:
        config: Config of the tickets; None where the training has none.
        space: Space that is trained, as far as it is known.
        searcher: Name of the searcher of the job.
        started: Whether the training has begun, so that the ticket that it started from is not looked for.
    """
    if config is None:
        return
    from search_spaces.plain import ElasticOnMeta

    network = None if space is None or not space.is_elastic else ElasticOnMeta(space.build).network
    if space is not None and (network is None or not _can_shrink(network)):
        yield f"train.tickets: must be null: networks of {space.name} have no paths and masks, hr_multibranch has"
    if searcher != "derived":
        yield f"search.searcher: must be derived with train.tickets, which leaves one architecture, got {searcher!r}"
    if config.start is None or started:
        return
    file = supernet_file(config.start)
    if not file.is_file():
        yield f"train.tickets.start: must be the folder of a finished job or the file of a supernet, there is no {file}"
        return
    from supernets.transforms.take_ticket import check_ticket, read_ticket

    try:
        if space is None or network is None:
            read_ticket(file)
        else:
            check_ticket(space, network, file)
    except (ValueError, OSError) as error:
        yield f"train.tickets.start: {error}"


def supernet_file(start: str) -> Path:
    """Return the file of the supernet that a start names."""
    path = Path(start)
    return path / _SUPERNET if path.is_dir() else path


def _can_shrink(network: "nn.Module") -> bool:
    """Return whether a network has paths that can be removed."""
    from search_spaces.elastic import ElasticBranches

    return any(isinstance(module, ElasticBranches) for module in network.modules())
