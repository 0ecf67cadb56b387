"""A ticket of one task in the supernet of another: its features, with channels and masks, under a new head.

Paper: SuperTickets, arXiv 2207.03677.
Differs: nothing known.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from search_spaces import Architecture, InvalidArchitecture, Space
from supernets.supernet import Supernet, read_metadata
from supernets.ticket import Ticket
from supernets.transforms.dead_channels import paths, reorder
from supernets.whole_file import InvalidFile

HEAD = "head."
"""What the names of decisions and tensors begin with that belong to a task: the child `head` of a network."""
_MASK = ".mask"
T = TypeVar("T")


def read_ticket(path: Path) -> Ticket:
    """Return the ticket in the file of a supernet.

    Raises:
        InvalidFile: The file is no supernet, or its training found no ticket.
    """
    ticket = Ticket.taken_from(read_metadata(path))
    if ticket is None:
        raise InvalidFile(f"{path} holds no ticket: its training had no train.tickets")
    return ticket


@torch.no_grad()
def take_ticket(supernet: Supernet, path: Path, *, fresh: bool = False) -> Supernet:
    """Give a supernet the features of a ticket, with its channels and masks; its head stays as it is.

    Args:
        supernet: Supernet of a space with the same features, changed in place.
        path: File of the supernet whose training found the ticket.
        fresh: Whether only channels and masks are taken. The weights of the supernet stay; channels of its paths come
            into the order that the ticket has.

    Returns:
        The supernet, with the largest head on the features of the ticket active.

    Raises:
        InvalidFile: The file holds no ticket, or one with other features; nothing was changed.
    """
    ticket = read_ticket(path)
    architecture = _architecture(ticket, supernet.space, supernet.network, path)
    theirs, ours = _features(load_file(path)), _features(supernet.network.state_dict())
    orders = {name: order for name, order in ticket.orders.items() if not name.startswith(HEAD)}
    if fresh:
        for one in paths(supernet.network, architecture):
            if one.decision in orders:
                reorder(one.branch, torch.tensor(orders[one.decision]), {})
    for name, tensor in theirs.items():
        if not fresh or name.endswith(_MASK):
            ours[name].copy_(tensor)
    supernet.ticket = Ticket(architecture, orders)
    supernet.activate(architecture)
    return supernet


def check_ticket(space: Space, network: nn.Module, path: Path) -> None:
    """Refuse a file that `take_ticket` refuses; a network on the meta device will do.

    Args:
        space: Space of the supernet that would take the ticket.
        network: Network that the space has built.
        path: File of the supernet whose training found the ticket.

    Raises:
        InvalidFile: The file holds no ticket, or one with other features.
    """
    _architecture(read_ticket(path), space, network, path)


def _architecture(ticket: Ticket, space: Space, network: nn.Module, path: Path) -> Architecture:
    """Return the architecture with the features of a ticket and the largest head.

    Raises:
        InvalidFile: The space has other features.
    """
    with safe_open(path, framework="pt") as file:
        theirs = _features({name: list(file.get_slice(name).get_shape()) for name in file.keys()})  # noqa: SIM118
    ours = _features({name: list(tensor.shape) for name, tensor in network.state_dict().items()})
    for name in sorted(ours.keys() | theirs.keys()):
        if theirs.get(name) != ours.get(name):
            there, here = (of.get(name, "not there") for of in (theirs, ours))
            shapes = f"{name} is {there} in the file, {here} in this supernet"
            raise InvalidFile(f"{path} holds a ticket with other features: {shapes}")
    values = {name: value for name, value in ticket.architecture.items() if not name.startswith(HEAD)}
    largest = {name: value for name, value in space.largest().items() if name.startswith(HEAD)}
    try:
        return space.architecture({**values, **largest})
    except InvalidArchitecture as error:
        raise InvalidFile(f"{path} holds a ticket with other features: {error}") from error


def _features(tensors: Mapping[str, T]) -> dict[str, T]:
    """Return what does not belong to the head, of the tensors of a network."""
    return {name: tensor for name, tensor in tensors.items() if ":" not in name and not name.startswith(HEAD)}
