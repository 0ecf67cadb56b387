"""A ticket: what is left of a supernet whose training has removed channels and weights.

Paper: SuperTickets, arXiv 2207.03677.
Differs: costs of a sparse network are counted, layer by layer, over the weights that are left; released are those of
the dense one times the part of all weights that is left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces import Architecture, Space
from search_spaces.relaxing import vectors_of_decisions
from supernets.learned import Learned

ENTRY = "ticket"
"""The entry of the metadata that holds the ticket of a supernet's file; masks are among its weights."""


@dataclass(frozen=True)
class Ticket:
    """The architecture that is left, and how the training came there.

    Args:
        architecture: Channels of each path that are left.
        orders: For each path, the places that its channels had before the training, in their present order.
        history: What each removal and each pruning has changed.
    """

    architecture: Architecture
    orders: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()

    def after(self, architecture: Architecture, orders: Mapping[str, Tensor]) -> Ticket:
        """Return the ticket after a removal that brought channels into another order."""
        composed = dict(self.orders)
        for name, order in orders.items():
            before = composed.get(name, tuple(range(len(order))))
            composed[name] = tuple(before[place] for place in order.tolist())
        return replace(self, architecture=architecture, orders=composed)

    def noted(self, record: Mapping[str, Any]) -> Ticket:
        """Return the ticket with one more change in its history."""
        return replace(self, history=(*self.history, dict(record)))

    def to_json(self) -> dict[str, Any]:
        """Return the ticket for JSON."""
        orders = {name: list(order) for name, order in self.orders.items()}
        return {"architecture": self.architecture.to_json(), "orders": orders, "history": list(self.history)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Ticket:
        """Return the ticket that `to_json` gave."""
        orders = {name: tuple(order) for name, order in content["orders"].items()}
        return cls(Architecture.from_json(content["architecture"]), orders, tuple(content["history"]))

    @classmethod
    def taken_from(cls, metadata: Mapping[str, str]) -> Ticket | None:
        """Return the ticket that the metadata of a file hold; None where they hold none."""
        return cls.from_json(json.loads(metadata[ENTRY])) if ENTRY in metadata else None

    def learned(self, space: Space) -> Learned:
        """Return the ticket as choices of which one has all the probability, for whoever reads learned choices."""
        logits = {}
        for vector in vectors_of_decisions(space.decisions).all:
            row = torch.full((len(vector.choices),), -torch.inf)
            row[vector.choices.index(self.architecture.get(vector.name, vector.choices[0]))] = 0.0
            logits[vector.name] = row
        return Learned(ENTRY, logits)


@torch.no_grad()
def sparse_costs(network: nn.Module, example: tuple[Tensor, ...]) -> dict[str, int]:
    """Return params and MACs of a plain network: of all weights, and of those that are not 0.

    Args:
        network: A plain network, on the device of the example.
        example: Its inputs for one example, each [1, ...].

    Returns:
        `dense_params`, `dense_macs`, `sparse_params` and `sparse_macs`; biases and norms are params of both.
    """
    dense = sparse = 0

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal dense, sparse
        weight = layer.weight
        assert isinstance(weight, Tensor)
        positions = output.numel() // len(weight)
        dense += positions * weight.numel()
        sparse += positions * int(weight.count_nonzero())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = network.training
    try:
        network.eval()(*example)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    params = sum(parameter.numel() for parameter in network.parameters())
    zeros = sum(layer.weight.numel() - int(layer.weight.count_nonzero()) for layer in layers)
    return {"dense_params": params, "dense_macs": dense, "sparse_params": params - zeros, "sparse_macs": sparse}
