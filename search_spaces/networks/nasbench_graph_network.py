"""The networks of NAS-Bench-Graph.

Paper: Qin et al., NAS-Bench-Graph, arXiv 2206.09166; operations are those of PyTorch Geometric with its defaults.
Differs: see `search_spaces.families.nasbench_graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.attributed_graph import AttributedGraph
from search_spaces.message_passing import Neighbours, NodeFeatures, Projection, glorot_

_SLOPE = 0.2


class Convolution(nn.Module):
    """An operation of one node: features [N, I], or the parts of `Entries`, -> [N, O].

    Args:
        inputs: Features that enter.
        outputs: Features that leave.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = Projection(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.empty(outputs))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the bias to 0; other weights belong to layers inside, which draw them themselves."""
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, to: Neighbours, *where: Tensor) -> Tensor:
        return self.linear(x, *where) + self.bias


class _Symmetric(Convolution):
    """The sum over neighbours with both degrees in the weights, the node itself included."""

    def forward(self, x: Tensor, to: Neighbours, *where: Tensor) -> Tensor:
        norm = to.share.sqrt()
        return to.total(to.sent(self.linear(x, *where)) * (to.sent(norm) * to.received(norm))[:, None]) + self.bias


class _Attentive(Convolution):
    """Graph attention with one head."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.source, self.target = nn.Parameter(torch.empty(outputs)), nn.Parameter(torch.empty(outputs))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for name in ("source", "target"):
            if hasattr(self, name):
                glorot_(getattr(self, name), len(self.bias), 1)

    def forward(self, x: Tensor, to: Neighbours, *where: Tensor) -> Tensor:
        features = self.linear(x, *where)
        scores = F.leaky_relu(to.sent(features @ self.source) + to.received(features @ self.target), _SLOPE)
        return to.total(to.sent(features) * to.softmax(scores)[:, None]) + self.bias


class _Isomorphism(Convolution):
    """The layer of a graph isomorphism network: the sum of a node and its neighbours, then a linear layer."""

    def forward(self, x: Tensor, to: Neighbours, *where: Tensor) -> Tensor:
        return to.total(to.sent(self.linear(x, *where))) + self.bias


class _TwoWeights(Convolution):
    """The base of operations that treat a node and its neighbours by a weight each."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.own = Projection(inputs, outputs, bias=False)

    def forward(self, x: Tensor, to: Neighbours, *where: Tensor) -> Tensor:
        return self.own(x, *where) + self.gathered(self.linear(x, *where), to) + self.bias

    def gathered(self, features: Tensor, to: Neighbours) -> Tensor:
        """Return what a node gets of its neighbours, itself excluded."""
        return to.total(to.sent(features)) - features


class _Sage(_TwoWeights):
    """GraphSAGE: the mean over neighbours."""

    def gathered(self, features: Tensor, to: Neighbours) -> Tensor:
        others = (1 / to.share - 1).clamp(min=1)
        return super().gathered(features, to) / others[:, None]


class _Normalised(_TwoWeights):
    """The base of operations that weigh neighbours by both degrees, the node itself not counted."""

    def gathered(self, features: Tensor, to: Neighbours) -> Tensor:
        degree = (1 / to.share - 1).round()
        norm = torch.where(degree > 0, degree.clamp(min=1).rsqrt(), torch.zeros_like(degree))
        weighted = features * norm[:, None]
        return (to.total(to.sent(weighted)) - weighted) * norm[:, None]


class _Chebyshev(_Normalised):
    """Chebyshev polynomials up to the first degree: the scaled Laplacian is minus the normalised adjacency."""

    def gathered(self, features: Tensor, to: Neighbours) -> Tensor:
        return -super().gathered(features, to)


class _Arma(_Normalised):
    """An ARMA filter of one stack and one layer; the weight between layers has no layer to stand before."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.between = Projection(outputs, outputs, bias=False)

    def forward(self, x: Tensor, to: Neighbours, *where: Tensor) -> Tensor:
        return F.relu(super().forward(x, to, *where))


CONVOLUTIONS: dict[str, Callable[[int, int], Convolution]] = {
    "gat": _Attentive,
    "gcn": _Symmetric,
    "gin": _Isomorphism,
    "cheb": _Chebyshev,
    "sage": _Sage,
    "arma": _Arma,
    "graph": _TwoWeights,
    "fc": Convolution,
}


class NASBenchGraphNetwork(nn.Module):
    """Four operations, the concatenation of those that feed no other, two linear layers; nodes [B] -> [B, classes].

    Args:
        graph: The graph, which is no weight and is not saved.
        nodes: Source and operation of each of the four; source 0 are the features, others count from 1.
        width: Features of each operation.
        classes: Number of outputs.
        dropout: Probability of dropout on what enters an operation or a layer.
    """

    def __init__(
        self, graph: AttributedGraph, nodes: Sequence[tuple[int, str]], width: int, classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.features, self.neighbours = NodeFeatures(graph), Neighbours(graph)
        self.nodes, self.drop = list(nodes), nn.Dropout(dropout)
        raw = [True]
        self.operations, self.norms = nn.ModuleDict(), nn.ModuleList()
        for place, (source, operation) in enumerate(nodes, start=1):
            raw.append(operation == "skip" and raw[source])
            self.norms.append(nn.BatchNorm1d(width))
            if operation != "skip":
                inputs = graph.features if raw[source] else width
                self.operations[str(place)] = CONVOLUTIONS[operation](inputs, width)
        feeding = {source for source, _ in nodes}
        self.outputs = [place for place in range(1, len(nodes) + 1) if place not in feeding]
        self.joined = Projection(width * len(self.outputs), width)
        self.classifier = Projection(width, classes)

    def forward(self, nodes: Tensor) -> Tensor:
        made: list[tuple[Tensor, ...]] = [tuple(self.features())]
        for place, (source, operation) in enumerate(self.nodes, start=1):
            x, *where = made[source]
            if operation == "skip":
                made.append((x, *where))
                continue
            out = self.operations[str(place)](self.drop(x), self.neighbours, *where)
            made.append((F.relu(self.norms[place - 1](out)),))
        joined = torch.cat([made[place][0] for place in self.outputs], dim=1)
        hidden = F.relu(self.joined(self.drop(joined)))
        return self.classifier(self.drop(hidden)).index_select(0, nodes)

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive features of all nodes [N, D]: the operations."""
        return list(self.operations.values())
