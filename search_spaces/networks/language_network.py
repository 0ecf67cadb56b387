"""The network of the language family: a decoder without an encoder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from search_spaces.elastic import AnySize, LayerSize
from search_spaces.networks.token_input import TokenInput
from search_spaces.networks.transformer_layers import PreNormLayer, feed_forward, layer_norms, self_attention
from search_spaces.transformer import Attend


def causal_layer(size: AnySize, hidden: LayerSize, width: AnySize, *, head_width: int, dropout: float) -> PreNormLayer:
    """Return a layer in which no place reads a later one.

    Args:
        size: Features of the sequence.
        hidden: Hidden units of the feed-forward.
        width: Features of all heads together.
        head_width: Features of a head.
        dropout: Dropout behind both parts.
    """
    attention = self_attention(size, width, Attend(head_width=head_width))
    hidden_layers = feed_forward(size, hidden, nn.GELU)
    return PreNormLayer(attention, hidden_layers, layer_norms(size, 2), nn.Dropout(dropout), causal=True)


class LanguageNetwork(nn.Module):
    """Tokens [B, T] -> scores of the next token at every place, [B, T, tokens]. Padding stands at the end of a row.

    Args:
        tokens: Makes vectors of tokens, and scores of vectors.
        layers: All layers, one after the other.
        norm: Norm before the scores, which all depths share.
    """

    def __init__(self, tokens: TokenInput, layers: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.tokens, self.layers, self.norm = tokens, layers, norm

    def forward(self, tokens: Tensor) -> Tensor:
        return self.tokens.scores(self.norm(self.layers(self.tokens(tokens))))

    def blocks(self) -> list[nn.Module]:
        """Return the modules whose outputs are the successive sequences [B, T, D]: the input and the layers."""
        return [self.tokens, *cast(Iterable[nn.Module], self.layers)]
