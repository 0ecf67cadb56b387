"""Message passing on a list of edges: gather at the sources, reduce at the targets; no matrix of nodes by nodes.

Messages stand in the order of their targets. All sums run in this order, so that a processor gives the same result
every time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.attributed_graph import AttributedGraph


class Neighbours(nn.Module):
    """The messages of a graph: where each comes from and goes to, and how many arrive at each node.

    Args:
        graph: The graph.

    Attributes:
        source: Node that each message comes from, int64 [M].
        target: Node that each message goes to, int64 [M].
        share: One over the number of messages that arrive at each node, its own included, [N].
    """

    source: Tensor
    target: Tensor
    share: Tensor

    def __init__(self, graph: AttributedGraph) -> None:
        super().__init__()
        self.graph, messages = graph, len(graph.messages[0])
        for name, shape, dtype in (
            ("source", messages, torch.int64),
            ("target", messages, torch.int64),
            ("share", graph.nodes, torch.float32),
        ):
            self.register_buffer(name, torch.empty(shape, dtype=dtype), persistent=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Write the graph into the buffers; nothing of it is learned or saved."""
        source, target = self.graph.messages
        share = 1.0 / np.bincount(target, minlength=self.graph.nodes)
        for buffer, values in ((self.source, source), (self.target, target), (self.share, share)):
            buffer.copy_(torch.from_numpy(np.ascontiguousarray(values)))

    def sent(self, x: Tensor) -> Tensor:
        """Return what the source of each message has: [N, ...] -> [M, ...]."""
        return x.index_select(0, self.source)

    def received(self, x: Tensor) -> Tensor:
        """Return what the target of each message has: [N, ...] -> [M, ...]."""
        return x.index_select(0, self.target)

    def total(self, messages: Tensor) -> Tensor:
        """Return the sum of the messages of each node: [M, ...] -> [N, ...]."""
        zeros = messages.new_zeros(len(self.share), *messages.shape[1:])
        return zeros.scatter_add(0, self._places(messages), messages)

    def mean(self, messages: Tensor) -> Tensor:
        """Return the mean of the messages of each node: [M, ...] -> [N, ...]."""
        return self.total(messages) * self.share.view(-1, *[1] * (messages.dim() - 1)).to(messages.dtype)

    def highest(self, messages: Tensor) -> Tensor:
        """Return the highest number that each node gets, of each feature: [M, ...] -> [N, ...]."""
        empty = messages.new_full((len(self.share), *messages.shape[1:]), -torch.inf)
        return empty.scatter_reduce(0, self._places(messages), messages, "amax", include_self=True)

    def softmax(self, scores: Tensor) -> Tensor:
        """Return weights of the messages that add up to 1 at each node, [M, ...]; scores may be of any size."""
        highest = self.highest(scores.detach())
        powers = (scores - self.received(highest)).exp()
        return powers / self.received(self.total(powers))

    def _places(self, messages: Tensor) -> Tensor:
        return self.target.view(-1, *[1] * (messages.dim() - 1)).expand_as(messages)


class Entries(NamedTuple):
    """Features of nodes [N, F] that are not 0, by rows and by columns.

    Attributes:
        values: The features [X], row after row.
        columns: Which feature each is, int64 [X].
        starts: Where the row of each node starts, int64 [N].
        order: The features column after column, as places among the values, int64 [X].
        rows: Node that each of these belongs to, int64 [X].
        column_starts: Where each column starts there, int64 [F].
    """

    values: Tensor
    columns: Tensor
    starts: Tensor
    order: Tensor
    rows: Tensor
    column_starts: Tensor


class NodeFeatures(nn.Module):
    """The features of the nodes of a graph, without their zeros."""

    def __init__(self, graph: AttributedGraph) -> None:
        super().__init__()
        self.graph = graph
        for name, array in self._arrays().items():
            dtype = torch.float32 if name == "values" else torch.int64
            self.register_buffer(name, torch.empty(len(array), dtype=dtype), persistent=False)
        self.reset_parameters()

    def _arrays(self) -> dict[str, np.ndarray]:
        graph = self.graph
        order = np.argsort(graph.columns, kind="stable")
        per_column = np.bincount(graph.columns, minlength=graph.features)
        rows = np.repeat(np.arange(graph.nodes), np.diff(graph.starts))
        return {
            "values": graph.values,
            "columns": graph.columns,
            "starts": graph.starts[:-1],
            "order": order,
            "rows": rows[order],
            "column_starts": np.cumsum(per_column) - per_column,
        }

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Write the features into the buffers; nothing of them is learned or saved."""
        for name, values in self._arrays().items():
            self.get_buffer(name).copy_(torch.from_numpy(np.ascontiguousarray(values)))

    def forward(self) -> Entries:
        return Entries(*(self.get_buffer(name) for name in Entries._fields))


class _Product(torch.autograd.Function):
    """Rows of values times a matrix; the gradient of the matrix is the product with the columns of values.

    The backward pass of `embedding_bag` sorts all entries at every step, which takes longer than all the rest.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, values: Tensor, *where: Tensor) -> Tensor:
        ctx.save_for_backward(values, *where)
        return _bags(matrix, values, *where[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, columns, starts, order, rows, column_starts = ctx.saved_tensors
        # Turned around, an entry stands at its place in the order of columns; the way back is the inverse order.
        back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        turned = (rows, column_starts, back, columns, starts)
        found = _Product.apply(gradient.contiguous(), values.index_select(0, order), *turned)
        return found, *[None] * 6


def _bags(matrix: Tensor, values: Tensor, columns: Tensor, starts: Tensor) -> Tensor:
    return F.embedding_bag(columns, matrix, starts, mode="sum", per_sample_weights=values)


def projected(x: Tensor, weight: Tensor, bias: Tensor | None = None, where: tuple[Tensor, ...] = ()) -> Tensor:
    """Return features times a weight, [N, O].

    Args:
        x: Features [N, I], or the values [X] of `Entries`.
        weight: Weight [O, I].
        bias: Bias [O].
        where: The other parts of `Entries`, if x are such values.
    """
    if not where:
        return F.linear(x, weight, bias)
    rows = weight.t().contiguous()
    learned = torch.is_grad_enabled() and weight.requires_grad
    out = _Product.apply(rows, x, *where) if learned else _bags(rows, x, *where[:2])
    return out if bias is None else out + bias


def glorot_(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Draw a weight as Glorot and Bengio do, as released networks for graphs."""
    bound = (6 / (fan_in + fan_out)) ** 0.5
    nn.init.uniform_(weight, -bound, bound)


class Projection(nn.Linear):
    """A linear layer on the features of nodes: [N, I], or the parts of `Entries`, -> [N, O]."""

    def reset_parameters(self) -> None:
        """Draw weights as Glorot and Bengio do, as released networks for graphs; biases are 0."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, *where: Tensor) -> Tensor:
        return projected(x, self.weight, self.bias, where)
