"""Candidates that are trained for themselves before they are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from nas.retraining import train_from_scratch
from search_spaces import Architecture, Space
from supernets import Task, TrainConfig
from supernets.keyed_store import KeyedStore
from supernets.training import TrainingData


class AloneSubnets:
    """A function from an architecture to its network, trained alone, in evaluation mode.

    Networks are kept as files, so that each is trained once, whoever asks for it: the search, an interrupted search
    that goes on, and the test of the front. What a network begins with follows from those that were kept before it.

    Args:
        space: Space of the architectures.
        data: Returns the training split.
        config: Epochs, rates and optimizer.
        task: What networks are trained for.
        folder: Folder of the networks.
        seed: Seed of fresh weights, order and dropout, the same for every architecture.
        device: Device that networks are trained on.
        begin: Returns the network that gives an architecture its first weights; None for fresh ones.
        shares: Whether parts begin with the weights of parts of the same kind, as `space.alone.sharing` says.
    """

    def __init__(
        self,
        space: Space,
        data: Callable[[], TrainingData],
        config: TrainConfig,
        task: Task,
        *,
        folder: Path,
        seed: int = 0,
        device: torch.device | None = None,
        begin: Callable[[Architecture], nn.Module] | None = None,
        shares: bool = False,
    ) -> None:
        self.space, self.data, self.config, self.task = space, data, config, task
        self.seed, self.device, self.begin = seed, device or torch.device("cpu"), begin
        self.store = KeyedStore(folder)
        self.sharing = space.alone.sharing if shares else None
        self._last: tuple[Architecture, nn.Module] | None = None

    def __call__(self, architecture: Architecture) -> nn.Module:
        if self._last is None or self._last[0] != architecture:
            self._last = (architecture, self._network(architecture))
        return self._last[1]

    def _network(self, architecture: Architecture) -> nn.Module:
        parts = {} if self.sharing is None else self.sharing(architecture)
        if self.store.path(architecture.key).exists():
            with torch.random.fork_rng(devices=[]):
                network = self.space.subnet(architecture)
            self.store.load(architecture.key, network)
        else:
            network = self._trained(architecture, parts)
        self.store.keep(architecture.key, network, parts)
        return network.to(self.device).eval()

    def _trained(self, architecture: Architecture, parts: Mapping[str, str]) -> nn.Module:
        def start(network: nn.Module) -> None:
            if self.begin is not None:
                network.load_state_dict(self.begin(architecture).state_dict(), strict=False)
            self.store.begin(network, parts)

        return train_from_scratch(
            self.space,
            architecture,
            self.data(),
            self.config,
            device=self.device,
            task=self.task,
            seed=self.seed,
            start=start,
        )
