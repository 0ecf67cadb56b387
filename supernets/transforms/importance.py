"""Importance of units, by which they are ordered before smaller networks keep the first ones.

Paper: Molchanov et al., arXiv 1906.10771 (first-order Taylor expansion of the loss); DepGraph, arXiv 2301.12900
(importance of coupled channels: the sum over all tensors that hold them); Network Slimming, arXiv 1708.06519 (scales of
batch norms).
Differs: `taylor` takes absolute values of weight times gradient weight by weight, as the library of DepGraph does, but
batch by batch, because the mean gradient of a trained network is close to zero. A group without norms has no scales:
`bn` orders it by `l1`. Biases count in `taylor` alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from supernets.supernet import Supernet
from supernets.tasks.task import Batch, Task
from supernets.transforms.units import Carrier, UnitGroup

Importances = Mapping[str, Tensor]
"""Name of a group -> importance of each of its units, float64 [units]."""


def orders_by(importances: Importances) -> dict[str, Tensor]:
    """Return the units of each group, most important first; equally important ones stay as they are."""
    return {name: torch.argsort(one, descending=True, stable=True) for name, one in importances.items()}


@torch.no_grad()
def by_weights(groups: Sequence[UnitGroup], power: int) -> Importances:
    """Return the sum of |weight|^power of all weights of a unit: of convolutions, linear layers and norms."""
    return {group.name: _summed(group, lambda carrier: _weights(carrier, power)) for group in groups}


@torch.no_grad()
def by_scales(groups: Sequence[UnitGroup]) -> Importances:
    """Return the sum of the absolute scales of norms of each unit, and the l1 importance where there are none."""
    found = {}
    for group in groups:
        if any(_is_scale(carrier) for carrier in group.carriers):
            found[group.name] = _summed(group, lambda carrier: _weights(carrier, 1) if _is_scale(carrier) else None)
        else:
            found[group.name] = _summed(group, lambda carrier: _weights(carrier, 1))
    return found


def random_importance(groups: Sequence[UnitGroup], generator: torch.Generator) -> Importances:
    """Return random numbers."""
    return {group.name: torch.rand(group.size, dtype=torch.float64, generator=generator) for group in groups}


def by_loss(supernet: Supernet, groups: Sequence[UnitGroup], batches: Iterable[Batch], task: Task) -> Importances:
    """Return the estimated change of the loss where a unit is left out, by its weights and their gradients.

    The largest network is judged as it predicts: in evaluation mode, with its running statistics.

    Args:
        supernet: Supernet whose largest network is meant; gradients, modes and the active architecture change.
        groups: Its groups.
        batches: Training examples, on the device of the supernet.
        task: Task that gives the loss.
    """
    supernet.eval()
    supernet.activate(supernet.space.largest())
    total = {group.name: torch.zeros(group.size, dtype=torch.float64) for group in groups}
    for batch in batches:
        supernet.zero_grad(set_to_none=True)
        task.loss(supernet(*task.inputs(batch)), batch).backward()
        for group in groups:
            total[group.name] += _summed(group, _change)
    supernet.zero_grad(set_to_none=True)
    return total


def _summed(group: UnitGroup, value: Callable[[Carrier], Tensor | None]) -> Tensor:
    """Return the sum over the carriers of a group, float64 [units], of numbers of the shapes of their tensors."""
    total = torch.zeros(group.size, dtype=torch.float64)
    for carrier in group.carriers:
        numbers = value(carrier)
        if numbers is not None:
            total += carrier.by_unit(numbers.detach()).double().sum(1).cpu()
    return total


def _weights(carrier: Carrier, power: int) -> Tensor | None:
    return carrier.tensor.abs() ** power if carrier.tensor.dim() > 1 or _is_scale(carrier) else None


def _is_scale(carrier: Carrier) -> bool:
    """Return whether a carrier is the scale of a norm: other vectors of layers are biases or statistics."""
    return carrier.tensor.dim() == 1 and carrier.name.rpartition(".")[2] == "weight"


def _change(carrier: Carrier) -> Tensor | None:
    gradient = carrier.tensor.grad
    return None if gradient is None else (carrier.tensor.detach() * gradient).abs()
