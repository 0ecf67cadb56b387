"""Plain networks with fresh weights, taken from elastic ones without initialising what is not used."""

from collections.abc import Callable

import torch
from torch import nn

from search_spaces.architecture import Architecture
from search_spaces.elastic.layer import elastic_layers, extracted


class ElasticOnMeta:
    """An elastic network without storage, from which plain networks of single architectures are made.

    Args:
        build: Makes the elastic network.
    """

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        with torch.device("meta"):
            self.network = build()
        self.layers = elastic_layers(self.network)

    def subnet(self, architecture: Architecture) -> nn.Module:
        """Return the plain network of one architecture, in training mode, with torch's default initialisation."""
        for layer in self.layers:
            layer.activate(architecture)
        return initialised(extracted(self.network))


def plain(build: Callable[[], nn.Module]) -> nn.Module:
    """Return the plain module of an elastic one that follows no decision, with fresh weights."""
    return ElasticOnMeta(build).subnet(Architecture({}))


def initialised(network: nn.Module) -> nn.Module:
    """Bring a network from the meta device to the default device and initialise every layer as torch does.

    Raises:
        TypeError: A layer with weights or buffers of its own has no `reset_parameters`.
    """
    network = network.to_empty(device=torch.empty(0).device)  # `get_default_device` of torch 2.6 sees no `with`
    for name, layer in network.named_modules():
        own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
        if not own:
            continue
        if not hasattr(layer, "reset_parameters"):
            raise TypeError(f"{name or 'the network'}: {type(layer).__name__} has weights but no reset_parameters")
        layer.reset_parameters()
    return network.train()
