"""Multiply-accumulates of ATen operations as products of lengths of dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import fx


class Length(NamedTuple):
    """The length of one dimension of a value of the graph."""

    node: fx.Node
    dimension: int


Product = tuple[Length, ...]


def products_of(node: fx.Node, ranks: Callable[[fx.Node], int]) -> list[Product]:
    """Return the products whose sum is the number of multiply-accumulates of an operation; none for most operations.

    Args:
        node: A node of the graph.
        ranks: Number of dimensions of the value of a node.
    """
    if node.op != "call_function":
        return []
    name = getattr(node.target, "__name__", str(node.target)).partition(".")[0]
    counted = _COUNTED.get(name)
    return [] if counted is None else counted(node, ranks)


def _all(node: fx.Node, ranks: Callable[[fx.Node], int], *, start: int = 0) -> Product:
    return tuple(Length(node, dimension) for dimension in range(start, ranks(node)))


def _convolution(node: fx.Node, ranks: Callable[[fx.Node], int]) -> list[Product]:
    inputs, weight = node.all_input_nodes[:2]
    name = getattr(node.target, "__name__", "")
    transposed = "transpose" in name or (name.startswith("convolution") and bool(node.args[6]))
    return [_all(inputs if transposed else node, ranks) + _all(weight, ranks, start=1)]


def _linear(node: fx.Node, ranks: Callable[[fx.Node], int]) -> list[Product]:
    return [(*_all(node, ranks), Length(_argument(node, 1), 1))]


def _matrices(first: int) -> Callable[[fx.Node, Callable[[fx.Node], int]], list[Product]]:
    """Return what counts a product of two matrices, of which the argument `first` is the left one."""

    def count(node: fx.Node, ranks: Callable[[fx.Node], int]) -> list[Product]:
        left = _argument(node, first)
        return [(*_all(node, ranks), Length(left, ranks(left) - 1))]

    return count


def _attention(node: fx.Node, ranks: Callable[[fx.Node], int]) -> list[Product]:
    query, key, value = (_argument(node, place) for place in range(3))
    weights = (*_all(query, ranks)[:-1], Length(key, ranks(key) - 2))
    return [(*weights, Length(query, ranks(query) - 1)), (*weights, Length(value, ranks(value) - 1))]


def _einsum(node: fx.Node, ranks: Callable[[fx.Node], int]) -> list[Product]:
    """Return the product of all indices of two operands, which no shorter way exists for."""
    equation, operands = node.args[0], node.args[1]
    assert isinstance(equation, str)
    assert isinstance(operands, Sequence)
    lengths: dict[str, Length] = {}
    for letters, operand in zip(equation.replace(" ", "").partition("->")[0].split(","), operands):
        assert isinstance(operand, fx.Node)
        for place, letter in enumerate(letters):
            lengths.setdefault(letter, Length(operand, place))
    return [tuple(lengths.values())]


def _recurrent(node: fx.Node, ranks: Callable[[fx.Node], int]) -> list[Product]:
    """Return one product for each matrix of a recurrent layer, which every step of every example is multiplied by."""
    inputs, weights = _argument(node, 0), node.args[2]
    assert isinstance(weights, Sequence)
    steps = _all(inputs, ranks)[:-1]
    return [steps + _all(one, ranks) for one in weights if isinstance(one, fx.Node) and ranks(one) == 2]


def _argument(node: fx.Node, place: int) -> fx.Node:
    found = node.args[place]
    assert isinstance(found, fx.Node)
    return found


_COUNTED: dict[str, Callable[[fx.Node, Callable[[fx.Node], int]], list[Product]]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _convolution),
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "bmm"), _matrices(0)),
    **dict.fromkeys(("addmm", "baddbmm"), _matrices(1)),
    "scaled_dot_product_attention": _attention,
    "einsum": _einsum,
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
}
