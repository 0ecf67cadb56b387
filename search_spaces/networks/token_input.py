"""Tokens as vectors, and vectors as scores of tokens."""

from typing import cast

from torch import Tensor, nn

from search_spaces.elastic import AnySize, ElasticEmbedding, ElasticPositions

PADDING = 0
"""The token that stands where a sequence has ended."""


class TokenInput(nn.Module):
    """Tokens [B, T] as vectors with positions, [B, T, D]."""

    def __init__(self, embedding: nn.Module, positions: nn.Module, drop: nn.Module) -> None:
        super().__init__()
        self.embedding, self.positions, self.drop = embedding, positions, drop

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        return self.drop(self.positions(self.embedding(tokens), start))

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores of all tokens by their vectors, [..., D] -> [..., tokens]."""
        return cast(ElasticEmbedding, self.embedding).scores(x)


def token_input(tokens: int, size: AnySize, longest: int, *, scaled: bool, learned: bool, dropout: float) -> TokenInput:
    """Return an elastic embedding with positions."""
    embedding = ElasticEmbedding(tokens, size, scaled=scaled)
    return TokenInput(embedding, ElasticPositions(longest, size, learned=learned), nn.Dropout(dropout))
