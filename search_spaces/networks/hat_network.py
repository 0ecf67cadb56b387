"""The network of the HAT family: an encoder, and a decoder whose layers read one or several of the encoder's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from search_spaces.elastic import (
    AnySize,
    ElasticAttend,
    ElasticLinear,
    ElasticSpan,
)
from search_spaces.networks.token_input import PADDING, TokenInput
from search_spaces.networks.transformer_layers import PostNormLayer, feed_forward, layer_norms
from search_spaces.transformer import CrossAttention, FeedForward, SelfAttention, Span


@dataclass
class LayerCache:
    """What a decoder layer remembers of B sequences.

    Attributes:
        memory: Keys and values of the source, each [B, S, Q], and which of them may be read, [B, 1, 1, S].
        past: Keys and values of the tokens before, each [B, T, Q]; None before the first.
    """

    memory: tuple[Tensor, Tensor, Tensor]
    past: tuple[Tensor, Tensor] | None = None

    def select(self, rows: Tensor) -> LayerCache:
        """Return what is remembered of these rows [N]."""
        key, value, mask = (part.index_select(0, rows) for part in self.memory)
        past = None if self.past is None else (self.past[0].index_select(0, rows), self.past[1].index_select(0, rows))
        return LayerCache((key, value, mask), past)


@dataclass
class DecoderState:
    """What a decoder remembers of B sequences that are translated token by token.

    Attributes:
        layers: What each layer remembers.
        length: Tokens of each sequence so far.
    """

    layers: list[LayerCache]
    length: int = 0

    def select(self, rows: Tensor) -> DecoderState:
        """Return the state of these rows [N], whole numbers; rows may occur several times or not at all."""
        return replace(self, layers=[layer.select(rows) for layer in self.layers])


@dataclass(frozen=True)
class LayerSizes:
    """Sizes of a layer.

    Attributes:
        size: Features of the sequence.
        hidden: Hidden units of the feed-forward.
        heads: Heads of the attention to the sequence itself.
        width: Features of all heads together.
    """

    size: AnySize
    hidden: AnySize
    heads: AnySize
    width: int


@dataclass(frozen=True)
class CrossSizes:
    """Sizes of the attention of a decoder layer to the encoder.

    Attributes:
        size: Features of the encoder.
        heads: Number of heads.
        span: How many of the last encoder layers are read.
        layers: Encoder layers that can be read.
    """

    size: AnySize
    heads: AnySize
    span: AnySize
    layers: int


def _self_attention(sizes: LayerSizes) -> SelfAttention:
    qkv, out = ElasticLinear(sizes.size, 3 * sizes.width), ElasticLinear(sizes.width, sizes.size)
    return SelfAttention(qkv, ElasticAttend(sizes.heads), out)


def encoder_layer(sizes: LayerSizes, *, dropout: float) -> PostNormLayer:
    """Return a layer of the encoder."""
    hidden = feed_forward(sizes.size, sizes.hidden, nn.ReLU)
    return PostNormLayer(_self_attention(sizes), hidden, layer_norms(sizes.size, 2), nn.Dropout(dropout))


def decoder_layer(sizes: LayerSizes, cross: CrossSizes, *, dropout: float) -> DecoderLayer:
    """Return a layer of the decoder."""
    query, out = ElasticLinear(sizes.size, sizes.width), ElasticLinear(sizes.width, sizes.size)
    key, value = (ElasticLinear(cross.size, sizes.width) for _ in range(2))
    reading = CrossAttention(query, key, value, ElasticAttend(cross.heads), out)
    hidden = feed_forward(sizes.size, sizes.hidden, nn.ReLU)
    parts = (_self_attention(sizes), reading, hidden)
    return DecoderLayer(parts, ElasticSpan(cross.span, cross.layers), layer_norms(sizes.size, 3), nn.Dropout(dropout))


class DecoderLayer(nn.Module):
    """Attention to what was written, attention to the source, feed-forward, [B, T, D] -> [B, T, D].

    Args:
        parts: The three of them.
        span: Says how many of the last encoder layers are read.
        norms: Those behind the parts.
        drop: What all branches pass in training.
    """

    def __init__(
        self,
        parts: tuple[SelfAttention, CrossAttention, FeedForward],
        span: nn.Module,
        norms: Sequence[nn.Module],
        drop: nn.Module,
    ) -> None:
        super().__init__()
        self.attention, self.cross, self.feed_forward = parts
        self.span, self.drop = span, drop
        self.attention_norm, self.cross_norm, self.feed_forward_norm = norms

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Return the next sequence.

        Args:
            x: Sequence [B, T, D].
            memory: What the last encoder layers gave, the last of them first, [B, layers * S, E].
            mask: Which of it may be read, [B, 1, 1, layers * S].
        """
        x = self.attention_norm(x + self.drop(self.attention(x, causal=True)))
        read: Tensor | None = None
        for part, weight in cast(Span, self.span).parts(memory.shape[1]):
            one = self.cross(x, memory[:, part], mask[..., part])
            one = one if weight is None else one * weight
            read = one if read is None else read + one
        assert read is not None
        return self._rest(x, read)

    def _rest(self, x: Tensor, read: Tensor) -> Tensor:
        x = self.cross_norm(x + self.drop(read))
        return self.feed_forward_norm(x + self.drop(self.feed_forward(x)))

    def start(self, memory: Tensor, mask: Tensor) -> LayerCache:
        """Return what is remembered before the first token; see `forward`.

        Raises:
            ValueError: The layer runs a mixture of spans.
        """
        ((part, weight), *others) = cast(Span, self.span).parts(memory.shape[1])
        if others or weight is not None:
            raise ValueError("a mixture of spans cannot translate token by token: activate an architecture before")
        memory = memory[:, part]
        return LayerCache((self.cross.key(memory), self.cross.value(memory), mask[..., part]))

    def step(self, x: Tensor, cache: LayerCache) -> Tensor:
        """Return the next features of one token [B, 1, D], and remember it."""
        query, key, value = self.attention.projected(x)
        if cache.past is not None:
            key, value = torch.cat([cache.past[0], key], 1), torch.cat([cache.past[1], value], 1)
        cache.past = key, value
        x = self.attention_norm(x + self.drop(self.attention.out(self.attention.attend(query, key, value))))
        return self._rest(x, self.cross.read(x, *cache.memory))


class HatNetwork(nn.Module):
    """Encoder and decoder; source [B, S] and target [B, T], both tokens, -> scores of next tokens [B, T, tokens].

    The scores at a place are those of the token that follows it. Padding stands at the end of a row.

    Args:
        source, target: Make vectors of tokens.
        encoder: Layers of the encoder.
        decoder: Layers of the decoder, which all receive what they read of the encoder.
        spans: Largest number of encoder layers that a decoder layer reads.
    """

    def __init__(
        self,
        source: TokenInput,
        target: TokenInput,
        encoder: Iterable[nn.Module],
        decoder: nn.Module,
        spans: int,
    ) -> None:
        super().__init__()
        self.source, self.target, self.spans = source, target, spans
        self.encoder, self.decoder = nn.ModuleList(encoder), decoder

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory, mask = self.memory(source)
        return self.target.scores(self.decoder(self.target(target), memory, mask))

    def memory(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the last encoder layers make of a source, the last first, and which of it may be read."""
        mask = source.ne(PADDING)[:, None, None]
        x, given = self.source(source), []
        for layer in self.encoder:
            given.append(x := layer(x, mask))
        last = given[-self.spans :][::-1]
        return torch.cat(last, 1), mask.repeat(1, 1, 1, len(last))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive sequences [B, T, D]: inputs and layers."""
        return [self.source, *self.encoder, self.target, *cast(Iterable[nn.Module], self.decoder)]

    # ---- token by token ---------------------------------------------------------------------------------------------

    def encode(self, source: Tensor) -> DecoderState:
        """Return the state before the first token of the translations of a source [B, S]."""
        memory, mask = self.memory(source)
        return DecoderState([layer.start(memory, mask) for layer in cast(Iterable[DecoderLayer], self.decoder)])

    def decode(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Return the scores [B, tokens] of what follows these tokens [B], and remember them in the state."""
        x = self.target(tokens[:, None], state.length)
        for layer, cache in zip(cast(Iterable[DecoderLayer], self.decoder), state.layers, strict=True):
            x = layer.step(x, cache)
        state.length += 1
        return self.target.scores(x[:, 0])
