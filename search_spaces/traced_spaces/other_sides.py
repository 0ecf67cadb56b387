"""Shapes of all values of a traced network at another size of its images, found without computing them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode

from search_spaces.tracing import BATCH, Traced


def shapes_at(traced: Traced, side: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of the value of every node for a batch of `BATCH` images of `side` pixels.

    Args:
        traced: What is known of the network.
        side: One of the sides that it has literals for.
    """
    literals = traced.literals[side]
    if not literals and _traced_side(traced) == side:
        return dict(traced.shapes)
    tensors = {**traced.constants, **traced.module.state_dict(keep_vars=True)}
    values: dict[fx.Node, Any] = {}
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        for node in traced.graph.nodes:
            if node.op == "placeholder":
                _, channels, *_ = traced.shapes[node.name]
                values[node] = torch.empty(BATCH, channels, side, side)
            elif node.op == "get_attr":
                values[node] = mode.from_tensor(tensors[str(node.target)].detach())
            elif node.op == "call_function":
                args, kwargs = fx.map_arg((literals.get(node.name, node.args), node.kwargs), values.__getitem__)
                values[node] = node.target(*args, **kwargs)
    return {node.name: tuple(value.shape) for node, value in values.items() if isinstance(value, Tensor)}


def _traced_side(traced: Traced) -> int:
    first = next(node for node in traced.graph.nodes if node.op == "placeholder")
    return traced.shapes[first.name][-1]
