"""A ticket of one task in the supernet of another: its features, with channels and masks, under a new head.

Paper: SuperTickets, arXiv 2207.03677.
Differs: nothing known.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from search_spaces import InvalidArchitecture
from supernets.supernet import Supernet, read_metadata
from supernets.ticket import Ticket
from supernets.transforms.dead_channels import paths, reorder
from supernets.whole_file import InvalidFile

HEAD = "head."
"""What the names of decisions and tensors begin with that belong to a task: the child `head` of a network."""
_MASK = ".mask"


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
    ticket, theirs = read_ticket(path), _features(load_file(path))
    ours = _features(supernet.network.state_dict())
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in theirs or name not in ours or theirs[name].shape != ours[name].shape:
            raise InvalidFile(f"{path} holds a ticket with other features: {name} is {_told(theirs, ours, name)}")
    values = {name: value for name, value in ticket.architecture.items() if not name.startswith(HEAD)}
    largest = {name: value for name, value in supernet.space.largest().items() if name.startswith(HEAD)}
    try:
        architecture = supernet.space.architecture({**values, **largest})
    except InvalidArchitecture as error:
        raise InvalidFile(f"{path} holds a ticket with other features: {error}") from error
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


def _features(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the network that do not belong to its head."""
    return {name: tensor for name, tensor in tensors.items() if ":" not in name and not name.startswith(HEAD)}


def _told(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor], name: str) -> str:
    """Return the shapes of a tensor in a file and in a supernet."""

    def shape(tensors: Mapping[str, Any]) -> str:
        return str(list(tensors[name].shape)) if name in tensors else "not there"

    return f"{shape(theirs)} in the file, {shape(ours)} in this supernet"
