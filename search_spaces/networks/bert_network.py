"""The network of the BERT family: layers that work in a space of their own width."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from search_spaces.elastic import AnySize, ElasticAttend, ElasticChunkedLinear, ElasticLayerNorm, ElasticLinear
from search_spaces.networks.token_input import PADDING, TokenInput
from search_spaces.networks.transformer_layers import PostNormLayer, feed_forward, layer_norms
from search_spaces.transformer import SelfAttention

_EPS = 1e-12


class Bottleneck(nn.Module):
    """A layer between two linear ones, which lead to its width and back; sequences [B, T, D] -> [B, T, D]."""

    def __init__(self, enter: nn.Module, layer: nn.Module, leave: nn.Module) -> None:
        super().__init__()
        self.enter, self.layer, self.leave = enter, layer, leave

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.leave(self.layer(self.enter(x), mask))


def bottleneck_layer(
    size: int, width: AnySize, head_width: AnySize, *, heads: int, hidden: int, dropout: float
) -> Bottleneck:
    """Return a layer whose width follows an architecture; every head keeps its own first features.

    Args:
        size: Features of the sequence outside.
        width: Features inside.
        head_width: Features of a head.
        heads: Number of heads.
        hidden: Hidden units of the feed-forward.
        dropout: Dropout behind both parts.
    """
    qkv = ElasticChunkedLinear(width, head_width, out_chunks=3 * heads)
    out = ElasticChunkedLinear(head_width, width, in_chunks=heads)
    attention = SelfAttention(qkv, ElasticAttend(heads, head_width), out)
    norms = layer_norms(width, 2, eps=_EPS)
    layer = PostNormLayer(attention, feed_forward(width, hidden, nn.GELU), norms, nn.Dropout(dropout))
    return Bottleneck(ElasticLinear(size, width), layer, ElasticLinear(width, size))


class MaskedTokenHead(nn.Sequential):
    """What leads from the last sequence to vectors that tokens are scored by."""

    def __init__(self, size: int) -> None:
        super().__init__(ElasticLinear(size, size), nn.GELU(), ElasticLayerNorm(size, eps=_EPS))


class EmbeddingNorm(nn.Sequential):
    """Norm and dropout behind the vectors of tokens."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__(ElasticLayerNorm(size, eps=_EPS), nn.Dropout(dropout))


class BertNetwork(nn.Module):
    """Tokens [B, T] -> scores of what stands at every place, [B, T, tokens]. Padding is not read.

    Args:
        tokens: Makes vectors of tokens, and scores of vectors.
        norm: What follows the vectors.
        layers: All layers.
        head: What leads to the vectors that tokens are scored by.
    """

    def __init__(self, tokens: TokenInput, norm: nn.Module, layers: Iterable[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.tokens, self.norm, self.layers, self.head = tokens, norm, nn.ModuleList(layers), head

    def forward(self, tokens: Tensor) -> Tensor:
        mask = tokens.ne(PADDING)[:, None, None]
        x = self.norm(self.tokens(tokens))
        for layer in self.layers:
            x = layer(x, mask)
        return self.tokens.scores(self.head(x))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive sequences [B, T, D]: the input and the layers."""
        return [self.norm, *cast(Iterable[nn.Module], self.layers)]
