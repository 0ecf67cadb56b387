"""Elastic embeddings: the first features of the vectors of tokens, of positions, and of the class token.

Paper: Wang et al., HAT, arXiv 2005.14187, section 3.1; Chen et al., AutoFormer, arXiv 2107.00651, section 3.2.
Differs: nothing known. A mixture of widths scales every feature by the summed weights of the widths that have it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.elastic.mixing import channel_factors, refuse_mixtures
from search_spaces.elastic.sized import Sized
from search_spaces.sizes import LayerSize, Mixture
from search_spaces.transformer import ClassToken, Positions, TokenEmbedding, check_length, sinusoids


class _Vectors(Sized):
    """Vectors whose width follows an architecture."""

    weight: Tensor

    def _cut(self, vectors: Tensor) -> Tensor:
        """Return the active features [..., d] of vectors [..., D]."""
        vectors = vectors[..., : self.active_size]
        return vectors * channel_factors(self._mixed["size"], self.active_size, vectors) if self._mixed else vectors


class ElasticEmbedding(_Vectors):
    """Vectors of tokens [B, T] -> [B, T, D], and the scores of all tokens by the same vectors.

    Args:
        tokens: Number of tokens.
        size: Features.
        scaled: Whether vectors are multiplied by the root of the number of features where they are looked up.
    """

    def __init__(self, tokens: int, size: LayerSize, *, scaled: bool = False) -> None:
        super().__init__(size)
        self.tokens, self.scaled = tokens, scaled
        self.weight = nn.Parameter(torch.empty(tokens, self.active_size))
        nn.init.normal_(self.weight, 0, self.active_size**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        vectors = F.embedding(tokens, self.weight)
        if not self._mixed:
            return self._cut(vectors) * self._scale
        mixture = self._mixed["size"]
        scaled = {width: weight * width**0.5 if self.scaled else weight for width, weight in mixture.weights.items()}
        factors = channel_factors(Mixture(mixture.decision, scaled), self.active_size, vectors)
        return vectors[..., : self.active_size] * factors

    @property
    def _scale(self) -> float:
        return self.active_size**0.5 if self.scaled else 1.0

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores of all tokens, [..., D] -> [..., tokens]."""
        return F.linear(x, self._cut(self.weight))

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        plain = nn.utils.skip_init(
            TokenEmbedding, self.tokens, self.active_size, scale=self._scale, device=self.weight.device
        )
        plain.weight.copy_(self._cut(self.weight))
        return plain.train(self.training)


class ElasticPositions(_Vectors):
    """The sum of a sequence and vectors of its positions, [B, T, D] -> [B, T, D].

    Args:
        length: Largest length.
        size: Features.
        learned: Whether vectors are weights; otherwise they are sinusoids.
    """

    def __init__(self, length: int, size: LayerSize, *, learned: bool) -> None:
        super().__init__(size)
        self.learned = learned
        if learned:
            self.weight = nn.Parameter(torch.empty(length, self.active_size))
            nn.init.trunc_normal_(self.weight, std=0.02)
        else:
            self.register_buffer("weight", torch.empty(length, self.active_size), persistent=False)
            self.weight.copy_(sinusoids(length, self.active_size))

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        check_length(start + x.shape[1], len(self.weight))
        return x + self._cut(self.weight[start : start + x.shape[1]])

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        plain = Positions(len(self.weight), self.active_size, learned=self.learned).to(self.weight.device)
        plain.weight.copy_(self._cut(self.weight))
        return plain.train(self.training)


class ElasticClassToken(_Vectors):
    """A learned vector before the first of a sequence, [B, T, D] -> [B, 1 + T, D]."""

    def __init__(self, size: LayerSize) -> None:
        super().__init__(size)
        self.weight = nn.Parameter(torch.empty(self.active_size))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._cut(self.weight).expand(x.shape[0], 1, -1), x], dim=1)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        plain = ClassToken(self.active_size).to(self.weight.device)
        plain.weight.copy_(self._cut(self.weight))
        return plain.train(self.training)
