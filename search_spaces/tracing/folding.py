"""Tensors that are made in the forward pass of nothing but numbers, such as grids of positions, become constants."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx

from search_spaces.tracing.traced import BATCH


def fold_creations(graph: fx.Graph, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Replace what is computed from numbers alone by `get_attr` nodes; return their tensors by name.

    What has the size of the batch, is drawn at random, or is written to by the network stays as it is.
    """
    fixed = foldable(graph)
    values: dict[fx.Node, Any] = {}
    with torch.no_grad():
        for node in [node for node in graph.nodes if node in fixed]:
            args, kwargs = fx.map_arg((node.args, node.kwargs), lambda old: values[old])
            values[node] = node.target(*args, **kwargs)
    folded = {}
    for node, value in values.items():
        readers = [user for user in node.users if user not in fixed]
        if readers and isinstance(value, Tensor):
            with graph.inserting_before(node):
                attribute = graph.create_node("get_attr", f"folded_{node.name}")
            attribute.meta = dict(node.meta)
            node.replace_all_uses_with(attribute, delete_user_cb=lambda user: user not in fixed)
            folded[f"folded_{node.name}"] = value.contiguous()
            shapes[attribute.name] = tuple(value.shape)
    for node in reversed([node for node in graph.nodes if node in fixed]):
        if not node.users:
            graph.erase_node(node)
            shapes.pop(node.name, None)
    return folded


def foldable(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes whose value no input and no weight decides."""
    fixed: set[fx.Node] = set()
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "call_function" and all(item in fixed for item in inputs) and may_fold(node):
            fixed.add(node)
    for node in reversed(list(graph.nodes)):
        if node.op == "call_function" and node not in fixed and is_mutable(node):
            release(node.args[0], fixed)
    changed = True
    while changed:
        lost = {node for node in fixed if any(item not in fixed for item in node.all_input_nodes)}
        changed = bool(lost)
        fixed -= lost
    return fixed


def release(node: Any, fixed: set[fx.Node]) -> None:
    """Take a value that is written to, and what it is a view of, out of the set."""
    while isinstance(node, fx.Node) and node.op == "call_function":
        fixed.discard(node)
        node = node.args[0] if node.args else None


def may_fold(node: fx.Node) -> bool:
    """Return whether an operation gives the same tensor for every batch and every call."""
    tags = getattr(node.target, "tags", ())
    if torch.Tag.nondeterministic_seeded in tags:
        return False
    return not any(number and number % BATCH == 0 for number in numbers([node.args, list(node.kwargs.values())]))


def is_mutable(node: fx.Node) -> bool:
    """Return whether an operation writes to one of its arguments."""
    schema = getattr(node.target, "_schema", None)
    return bool(schema is not None and schema.is_mutable)


def numbers(value: Any) -> Iterator[int]:
    """Yield the whole numbers in nested arguments."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value
