"""Units of a network that are kept or left out together, where they stand, and how they change places.

Two kinds of networks say it of themselves: layers that read their groups off a trace, and blocks with
`hidden_channels`. Other networks have no units that can change places.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn


class Carrier(NamedTuple):
    """A tensor that holds the units of a group on one of its dimensions.

    Attributes:
        name: Name of the tensor in its layer or block.
        tensor: The tensor itself.
        dimension: The dimension.
        indices: Indices of each unit on it, int64 [units, indices of one unit].
    """

    name: str
    tensor: Tensor
    dimension: int
    indices: Tensor

    def by_unit(self, values: Tensor) -> Tensor:
        """Return numbers of the shape of the tensor as one row for each unit, [units, numbers of one unit]."""
        chosen = values.index_select(self.dimension, self.indices.flatten().to(values.device))
        return chosen.movedim(self.dimension, 0).reshape(len(self.indices), -1)


class UnitGroup(NamedTuple):
    """Units that are kept or left out together.

    Attributes:
        name: Name that no other group of the network has.
        size: Number of units.
        carriers: The tensors that hold them.
    """

    name: str
    size: int
    carriers: Sequence[Carrier]


@runtime_checkable
class OrdersUnits(Protocol):
    """A layer that knows the groups of its units and can bring them into another order."""

    @property
    def traced(self) -> Any:
        """Return the trace, with names and sizes of its `groups`, its `constants` by name, and its `module`."""
        ...

    def uses(self, group: str) -> Sequence[tuple[str, int, np.ndarray]]:
        """Return where units stand: name of a tensor, dimension, and indices [units, indices of one unit]."""
        ...

    def reorder(self, orders: Mapping[str, Tensor]) -> None:
        """Move units in place: the unit at `order[i]` comes to place i. The function of the network stays the same."""
        ...


def unit_groups(network: nn.Module) -> list[UnitGroup]:
    """Return the groups of units of a network; none where it does not know any."""
    return [group for prefix, owner in _owners(network) for group in _groups(prefix, owner)]


@torch.no_grad()
def reorder(network: nn.Module, orders: Mapping[str, Tensor]) -> None:
    """Bring units into other orders, in place; the function of the largest network does not change.

    Optimizer states of the weights do not fit them afterwards.

    Args:
        network: Network, or supernet.
        orders: Name of a group -> numbers of its units in their new order, int64 [units]; others stay as they are.
    """
    for prefix, owner in _owners(network):
        names = {group.name.removeprefix(prefix): group for group in _groups(prefix, owner) if group.name in orders}
        if isinstance(owner, OrdersUnits):
            owner.reorder({name: orders[group.name] for name, group in names.items()})
            continue
        for group in names.values():
            for carrier in group.carriers:
                order = orders[group.name].to(carrier.tensor.device)
                carrier.tensor.copy_(carrier.tensor.index_select(carrier.dimension, order))


def _owners(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that know units, with what stands before the names of their groups."""
    for name, module in network.named_modules():
        if isinstance(module, OrdersUnits) or hasattr(module, "hidden_channels"):
            yield f"{name}:" if name else "", module


def _groups(prefix: str, owner: nn.Module) -> list[UnitGroup]:
    if not isinstance(owner, OrdersUnits):
        return _hidden(prefix, owner)
    traced = owner.traced
    saved = set(traced.module.state_dict())
    buffers = dict(traced.module.named_buffers(remove_duplicate=False))
    tensors = {**traced.constants, **buffers, **dict(traced.module.named_parameters(remove_duplicate=False))}
    groups = []
    for group in traced.groups:
        carriers = [
            Carrier(name, tensors[name], dimension, torch.from_numpy(np.asarray(indices, np.int64)))
            for name, dimension, indices in owner.uses(group.name)
        ]
        # the order of units is kept with the weights: what is not saved must be the same for all units
        if all(carrier.name in saved or _is_alike(carrier) for carrier in carriers):
            groups.append(UnitGroup(f"{prefix}{group.name}", group.size, carriers))
    return groups


def _is_alike(carrier: Carrier) -> bool:
    """Return whether a tensor has the same numbers at every unit."""
    rows = carrier.by_unit(carrier.tensor)
    return bool((rows == rows[:1]).all())


def _hidden(prefix: str, block: Any) -> list[UnitGroup]:
    names = {id(tensor): name for name, tensor in [*block.named_parameters(), *block.named_buffers()]}
    groups = []
    for number, hidden in enumerate(block.hidden_channels()):
        size = hidden.reader.weight.shape[1]
        indices = torch.arange(size)[:, None]
        carriers = [Carrier(names[id(tensor)], tensor, dim, indices) for tensor, dim in hidden.carriers]
        groups.append(UnitGroup(f"{prefix}{number}", size, carriers))
    return groups
