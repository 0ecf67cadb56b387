"""Exact costs of a space that says none: counted on each network, and compared with those that a space does say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from search_spaces.architecture import Architecture, Choice
from search_spaces.space import Space

if TYPE_CHECKING:
    from torch import nn

_RANDOM, _RELATIVE, _ABSOLUTE = 2, 1e-6, 0.5
COUNTED = ("params", "macs")


class Difference(NamedTuple):
    """A cost that a space says wrongly.

    Attributes:
        name: Name of the cost.
        said: Value that the space states.
        counted: Value counted on the network.
        architecture: Architecture with this cost.
    """

    name: str
    said: float
    counted: float
    architecture: Architecture


def with_counted_costs(space: Space) -> Space:
    """Return the space with `params` and `macs` counted on each network, where it says no cost itself.

    A network takes milliseconds; what was counted is remembered.
    """
    if space.cost is not None or space.places is not None or not space.inputs:
        return space
    return replace(space, cost=_Counting(space))


def wrong_costs(space: Space) -> Difference | None:
    """Return where a space says `params` or `macs` that its networks do not have; None where all agree.

    The smallest network, the largest and a few random ones are compared. Multiply-accumulates may be counted in
    convolutions and linear layers alone, or in every product of matrices.
    """
    if not space.inputs or isinstance(space.cost, _Counting):
        return None
    generator = np.random.default_rng(0)
    compared = [space.smallest(), space.largest(), *(space.sample(generator) for _ in range(_RANDOM))]
    said = space.costs(compared)
    for place, architecture in enumerate(compared):
        counted = count(space, architecture)
        for name in COUNTED:
            allowed = [counted["params"]] if name == "params" else [counted["macs"], counted["all_macs"]]
            if name in said and not any(_equal(float(said[name][place]), one) for one in allowed):
                return Difference(name, float(said[name][place]), allowed[0], architecture)
    return None


def _equal(said: float, counted: float) -> bool:
    return abs(said - counted) <= max(_ABSOLUTE, _RELATIVE * counted)


def count(space: Space, architecture: Architecture) -> dict[str, int]:
    """Return `params`, `macs` and `all_macs` of one network on one input of its space.

    `macs` are those of convolutions and linear layers, `all_macs` those of every product of matrices. Nothing is
    computed where the network runs without numbers; one that looks at its numbers runs on the processor.
    """
    import torch

    try:
        with torch.device("meta"):
            network = space.subnet(architecture)
            return _counted(network, tuple(one.to("meta") for one in space.example(architecture)))
    except (NotImplementedError, RuntimeError, TypeError):
        with torch.random.fork_rng(devices=[]):
            return _counted(space.subnet(architecture), space.example(architecture))


def _counted(network: nn.Module, inputs: tuple) -> dict[str, int]:
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    macs = 0

    def add(layer: nn.Module, _: tuple, output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(layer.weight, torch.Tensor)
        macs += output[:1].numel() * layer.weight[0].numel()

    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    hooks = [layer.register_forward_hook(add) for layer in network.modules() if isinstance(layer, kinds)]
    network.requires_grad_(False)  # the counter fails on a layer whose input is a view of a parameter
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        network.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    every = flops.get_total_flops() // 2
    return {"params": parameters, "macs": macs, "all_macs": every}


@dataclass
class _Counting:
    """The `cost` of a space whose networks are counted: columns of values -> columns of costs."""

    space: Space
    known: dict[Architecture, dict[str, int]] = field(default_factory=dict)

    def __call__(self, columns: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        rows = [self._row(dict(zip(columns, values))) for values in zip(*columns.values())]
        return {name: np.array([row[name] for row in rows], dtype=np.int64) for name in COUNTED}

    def _row(self, values: Mapping[str, Choice]) -> dict[str, int]:
        architecture = self.space.architecture({name: _plain(value) for name, value in values.items()})
        if architecture not in self.known:
            counted = count(self.space, architecture)
            self.known[architecture] = {"params": counted["params"], "macs": max(counted["macs"], counted["all_macs"])}
        return self.known[architecture]


def _plain(value: Choice) -> Choice:
    return value.item() if isinstance(value, np.generic) else value
