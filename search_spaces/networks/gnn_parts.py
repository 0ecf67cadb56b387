"""The parts of a layer of the GNN family: attention, aggregation and combination; their formulas and weights.

Paper: AGNN, arXiv 1909.03184; GraphNAS, arXiv 1904.09981, whose released code says the formulas.
Differs: see `search_spaces.families.gnn`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic import Elastic
from search_spaces.families.gnn_operations import ATTENTION_WIDTH, COMPARED, SOFTMAXED, TRANSFORMED
from search_spaces.message_passing import Neighbours, glorot_
from search_spaces.sizes import AnySize, largest, resolve_number

_SLOPE = 0.2
"""Of the leaky ReLU of attention, as in GAT."""
Vectors = Mapping[str, Tensor]


class Sent(NamedTuple):
    """What nodes send: features [N, H, D] of H heads, and the messages of the graph."""

    features: Tensor
    neighbours: Neighbours


class Weighted(NamedTuple):
    """What nodes send [N, H, D], and the weight of each message [M, H]."""

    features: Tensor
    weights: Tensor
    neighbours: Neighbours


class Gathered(NamedTuple):
    """What a node has itself, and what it has gathered, [N, H, D] each."""

    own: Tensor
    gathered: Tensor


class Part(nn.Module):
    """A part of a layer whose weights belong to heads.

    Args:
        kind: Name of the operation.
        heads: Number of heads.
        width: Features of a head.
        dropout: Probability of dropout, where the part has any.

    Attributes:
        shapes: Weight -> its dimensions: `heads`, `width`, or a number.
    """

    def __init__(self, kind: str, heads: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.kind, self.dropout = kind, dropout
        sizes = {"heads": heads, "width": width}
        for name, dimensions in self.shapes.items():
            shape = [sizes[one] if isinstance(one, str) else one for one in dimensions]
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.reset_parameters()

    @property
    def shapes(self) -> Mapping[str, tuple[str | int, ...]]:
        return {}

    def reset_parameters(self) -> None:
        """Draw weights as Glorot and Bengio do; biases are 0."""
        for name, weight in self.named_parameters():
            if name == "bias":
                nn.init.zeros_(weight)
                continue
            outputs = weight.shape[1] if weight.dim() > 2 else 1
            glorot_(weight, weight[0].numel() // outputs, outputs)

    def run(self, x: Any, vectors: Vectors) -> Tensor:
        """Return what the part makes of its input with these weights."""
        raise NotImplementedError

    def forward(self, x: Any) -> Tensor:
        return self.run(x, dict(self.named_parameters()))

    def extra_repr(self) -> str:
        return self.kind


class Attention(Part):
    """The weights of messages, `Sent` -> [M, H]. Soft-maxed ones are dropped out in training."""

    @property
    def shapes(self) -> Mapping[str, tuple[str | int, ...]]:
        if self.kind not in SOFTMAXED:
            return {}
        rows = ATTENTION_WIDTH if self.kind in COMPARED else 1
        shapes: dict[str, tuple[str | int, ...]] = {"right": ("heads", rows, "width")}
        if self.kind != "linear":
            shapes["left"] = ("heads", rows, "width")
        if self.kind == "generalized_linear":
            shapes["mix"] = ("heads", rows)
        return shapes

    def run(self, x: Sent, vectors: Vectors) -> Tensor:
        features, to = x
        if self.kind == "const":
            return features.new_ones(len(to.source), features.shape[1])
        if self.kind == "gcn":
            norm = to.share.to(features.dtype).sqrt()
            return (to.sent(norm) * to.received(norm))[:, None].expand(-1, features.shape[1])
        return F.dropout(to.softmax(self._scores(x, vectors)), self.dropout, self.training)

    def _scores(self, x: Sent, vectors: Vectors) -> Tensor:
        """Return the scores of messages [M, H]."""
        features, to = x
        right = torch.einsum("nhd,had->nha", features, vectors["right"])
        if self.kind == "linear":
            return to.sent(right).tanh().squeeze(-1)
        left = torch.einsum("nhd,had->nha", features, vectors["left"])
        if self.kind == "gat":
            return F.leaky_relu(to.received(left) + to.sent(right), _SLOPE).squeeze(-1)
        if self.kind == "gat_sym":
            both = left + right
            return F.leaky_relu(to.received(both) + to.sent(both), _SLOPE).squeeze(-1)
        if self.kind == "cos":
            return F.leaky_relu((to.received(left) * to.sent(right)).sum(-1), _SLOPE)
        return ((to.received(left) + to.sent(right)).tanh() * vectors["mix"]).sum(-1)


class Aggregate(Part):
    """What nodes make of the messages that arrive, `Weighted` -> [N, H, D].

    All but the sum pass each message through a layer of its head first.
    """

    @property
    def shapes(self) -> Mapping[str, tuple[str | int, ...]]:
        return {"weight": ("heads", "width", "width"), "bias": ("heads", "width")} if self.kind in TRANSFORMED else {}

    def run(self, x: Weighted, vectors: Vectors) -> Tensor:
        features, weights, to = x
        messages = to.sent(features) * weights[..., None]
        if self.kind in TRANSFORMED:
            messages = F.leaky_relu(torch.einsum("mhd,hod->mho", messages, vectors["weight"]) + vectors["bias"])
        reduce = {"mean": to.mean, "max": to.highest}.get(self.kind, to.total)
        return reduce(messages)


class Combine(Part):
    """What a node makes of its own features and of those gathered, `Gathered` -> [N, H, D]."""

    @property
    def shapes(self) -> Mapping[str, tuple[str | int, ...]]:
        return {"weight": ("heads", "width", 2, "width"), "bias": ("heads", "width")} if self.kind == "mlp" else {}

    def run(self, x: Gathered, vectors: Vectors) -> Tensor:
        if self.kind == "identity":
            return x.gathered
        joined = torch.stack(x, dim=2)
        return F.leaky_relu(torch.einsum("nhtd,hotd->nho", joined, vectors["weight"]) + vectors["bias"])


class ElasticPart(Elastic):
    """A part that runs with the first heads, and the first features of each head.

    Args:
        full: The part with the most heads and features.
        heads: Number of heads.
        width: Features of a head.
    """

    def __init__(self, full: Part, heads: AnySize, width: AnySize) -> None:
        super().__init__()
        self.full, self.heads, self.width = full, heads, width
        self.active_heads, self.active_width = largest(heads), largest(width)

    @property
    def is_fixed(self) -> bool:
        return isinstance(self.heads, int) and isinstance(self.width, int)

    def activate(self, setting: Setting) -> None:
        heads, width = resolve_number(self.heads, setting), resolve_number(self.width, setting)
        if heads is not None and width is not None:
            self.active_heads, self.active_width = heads, width

    def _vectors(self) -> dict[str, Tensor]:
        """Return the weights of the active heads and features."""
        kept = {"heads": slice(self.active_heads), "width": slice(self.active_width)}
        shapes = self.full.shapes
        return {
            name: weight[tuple(kept[one] if isinstance(one, str) else slice(None) for one in shapes[name])]
            for name, weight in self.full.named_parameters()
        }

    def forward(self, x: Any) -> Tensor:
        return self.full.run(x, self._vectors())

    @torch.no_grad()
    def extract(self) -> nn.Module:
        full, vectors = self.full, self._vectors()
        device = next((one.device for one in vectors.values()), torch.device("cpu"))
        with device:
            plain = type(full)(full.kind, self.active_heads, self.active_width, full.dropout)
        for name, vector in vectors.items():
            plain.get_parameter(name).copy_(vector)
        return plain.train(self.training)
