"""Layers of transformers, before or behind whose parts the features are normalised."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from search_spaces.elastic import (
    AnySize,
    ElasticChunkedLinear,
    ElasticLayerNorm,
    ElasticLinear,
    LayerSize,
)
from search_spaces.transformer import FeedForward, SelfAttention


class PreNormLayer(nn.Module):
    """Attention and feed-forward, each added to the sequence [B, T, D] that it was normalised from.

    Args:
        attention: Attention of the sequence to itself.
        feed_forward: Works on every place alone.
        norms: Those before attention and feed-forward.
        drop: What both branches pass in training.
        causal: Whether a place reads no place behind it.
    """

    def __init__(
        self,
        attention: nn.Module,
        feed_forward: nn.Module,
        norms: Sequence[nn.Module],
        drop: nn.Module,
        *,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.attention_norm, self.feed_forward_norm = norms
        self.attention, self.feed_forward, self.drop, self.causal = attention, feed_forward, drop, causal

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.attention_norm(x), causal=self.causal))
        return x + self.drop(self.feed_forward(self.feed_forward_norm(x)))


class PostNormLayer(nn.Module):
    """Attention and feed-forward, each added to the sequence [B, T, D], which is normalised then.

    Args:
        attention: Attention of the sequence to itself.
        feed_forward: Works on every place alone.
        norms: Those behind attention and feed-forward.
        drop: What both branches pass in training.
    """

    def __init__(
        self, attention: nn.Module, feed_forward: nn.Module, norms: Sequence[nn.Module], drop: nn.Module
    ) -> None:
        super().__init__()
        self.attention, self.feed_forward, self.drop = attention, feed_forward, drop
        self.attention_norm, self.feed_forward_norm = norms

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.attention_norm(x + self.drop(self.attention(x, mask)))
        return self.feed_forward_norm(x + self.drop(self.feed_forward(x)))


def self_attention(size: AnySize, width: AnySize, attend: nn.Module) -> SelfAttention:
    """Return attention of a sequence to itself with elastic layers.

    Args:
        size: Features of the sequence.
        width: Features of all heads together.
        attend: Reads values by queries and keys.
    """
    return SelfAttention(ElasticChunkedLinear(size, width, out_chunks=3), attend, ElasticLinear(width, size))


def feed_forward(size: AnySize, hidden: LayerSize, activation: Callable[[], nn.Module]) -> FeedForward:
    """Return two elastic linear layers with an activation between them."""
    return FeedForward(ElasticLinear(size, hidden), activation(), ElasticLinear(hidden, size))


def layer_norms(size: AnySize, number: int, *, eps: float = 1e-5) -> list[nn.Module]:
    """Return so many elastic layer norms."""
    return [ElasticLayerNorm(size, eps=eps) for _ in range(number)]
