"""Elastic attention: the number or the width of its heads follows an architecture.

Where the width of all heads together is fixed, as in HAT, another number of heads divides the same features otherwise:
a mixture of numbers mixes what the numbers give. Where heads are narrower, a mixture mixes the weights that give
queries and keys, and the factors of their products alike.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic.layer import Elastic
from search_spaces.elastic.mixing import refuse_mixtures
from search_spaces.sizes import AnySize, Mixture, largest, mixtures, resolve
from search_spaces.transformer import Attend


class ElasticAttend(Elastic):
    """Attention of several heads: queries [B, T, Q], keys and values [B, S, Q] -> [B, T, Q].

    Args:
        heads: Number of heads.
        head_width: Features of a head where they follow an architecture; otherwise as many as arrive.
    """

    def __init__(self, heads: AnySize, head_width: AnySize | None = None) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.active_heads = largest(heads)
        self._mixed: dict[str, Mixture] = {}

    def activate(self, setting: Setting) -> None:
        heads = resolve(self.heads, setting)
        width = 1 if self.head_width is None else resolve(self.head_width, setting)
        if heads is not None and width is not None:
            self.active_heads, self._mixed = largest(heads), mixtures(heads=heads, width=width)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        if (mixture := self._mixed.get("width")) is not None:
            scale = sum(weight * width**-0.5 for width, weight in mixture.weights.items())
            query = query * (scale * (query.shape[-1] // self.active_heads) ** 0.5)
        if (mixture := self._mixed.get("heads")) is None:
            return _attended(self.active_heads, (query, key, value), mask, causal)
        read = [
            _attended(heads, (query, key, value), mask, causal) * weight for heads, weight in mixture.weights.items()
        ]
        return sum(read[1:], read[0])

    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        return Attend(heads=self.active_heads).train(self.training)


def _attended(heads: int, parts: tuple[Tensor, Tensor, Tensor], mask: Tensor | None, causal: bool) -> Tensor:
    query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
    read = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    return read.transpose(1, 2).flatten(2)
