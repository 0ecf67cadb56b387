"""Networks of one space side by side, each with an architecture of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from search_spaces.architecture import Architecture, Choice, Relaxation, Setting
from search_spaces.decisions import values_within
from search_spaces.elastic.layer import Elastic, extracted, following_layers, governed


class SideBySide(nn.Module):
    """Plain networks that all take the same inputs; their outputs [B, ...] become one [B, networks, ...]."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.stack([network(*inputs) for network in self.networks], dim=1)


class ElasticSideBySide(Elastic):
    """One elastic network that runs once for each of several members of a joined space.

    The members share all weights. Each of them follows the decisions that begin with its name.

    Args:
        network: Elastic network of the largest architecture.
        names: Names of the members.
    """

    speaks_for_inner = True

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)
        self._layers = following_layers(network)
        self._settings: dict[str, Setting] = {}

    @property
    def is_fixed(self) -> bool:
        return not self._layers

    def activate(self, setting: Setting) -> None:
        for name in self.names:
            values = values_within(name, setting)
            relaxed = isinstance(setting, Relaxation)
            self._settings[name] = Relaxation(values) if relaxed else Architecture(values)  # type: ignore[arg-type]

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs = []
        for name in self.names:
            self._turn_to(name)
            outputs.append(self.network(*inputs))
        return torch.stack(outputs, dim=1)

    def extract(self) -> SideBySide:
        networks = []
        for name in self.names:
            self._turn_to(name)
            networks.append(extracted(self.network))
        return SideBySide(networks)

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        for name in self.names:
            for decision, choice, module in governed(self.network):
                yield f"{name}.{decision}", choice, module

    def _turn_to(self, name: str) -> None:
        for layer in self._layers:
            layer.activate(self._settings[name])
