"""Where the units of a group stand in the tensors of a network, and how they are put in another order."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from search_spaces.tracing.traced import Group, Traced

Use = tuple[str, int, np.ndarray]
"""Name of a tensor, one of its dimensions, and the indices [units, indices per unit] at which each unit stands."""


def uses(traced: Traced, group: Group) -> Iterator[Use]:
    """Yield every place of the units of a group in the tensors of the network."""
    for name, units in traced.tensors.items():
        for dimension, one in enumerate(units):
            if one is None:
                continue
            ranks = np.asarray(one) - group.first
            places = np.flatnonzero((ranks >= 0) & (ranks < group.size))
            if len(places):
                ordered = places[np.argsort(ranks[places], kind="stable")]
                yield name, dimension, ordered.reshape(group.size, -1)


@torch.no_grad()
def reorder(
    traced: Traced,
    orders: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    beside: Mapping[str, Sequence[Tensor]] | None = None,
) -> None:
    """Put the units of groups in another order, in place.

    Args:
        traced: The trace.
        orders: Group -> for every new position the former position of its unit.
        tensors: The tensors of the network by name.
        beside: Name of a tensor -> vectors with one number for each index of its first dimension.

    Raises:
        ValueError: An order does not name every unit once.
    """
    for name, order in orders.items():
        group, numbers = traced.group[name], order.detach().cpu().numpy()
        if sorted(numbers.tolist()) != list(range(group.size)):
            raise ValueError(f"the order of group {name} must name each of its {group.size} units once")
        done: set[tuple[int, int]] = set()
        for tensor_name, dimension, places in uses(traced, group):
            tensor = tensors[tensor_name]
            if (id(tensor), dimension) not in done:  # one tensor may have two names
                done.add((id(tensor), dimension))
                indices = np.arange(tensor.shape[dimension])
                indices[places.ravel()] = places[numbers].ravel()
                picked = torch.from_numpy(indices).to(tensor.device)
                tensor.copy_(tensor.index_select(dimension, picked))
                for vector in (beside or {}).get(tensor_name, ()) if dimension == 0 else ():
                    vector.copy_(vector[picked])
