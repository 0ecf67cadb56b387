"""Elastic layer norm: over the features that are active, with the first of the weights.

Paper: Chen et al., AutoFormer, arXiv 2107.00651, and Wang et al., HAT, arXiv 2005.14187: norms of a supernet share
their weights by prefix.
Differs: a mixture of widths mixes what the norms of the single widths give, since statistics over features that are
masked are those of no width. So a mixture of one width is that width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.elastic.mixing import refuse_mixtures
from search_spaces.elastic.sized import Sized
from search_spaces.sizes import LayerSize


class ElasticLayerNorm(Sized):
    """Layer norm over as many features as arrive, [..., D] -> [..., D].

    Args:
        size: Features.
        eps: As that of `nn.LayerNorm`.
    """

    def __init__(self, size: LayerSize, *, eps: float = 1e-5) -> None:
        super().__init__(size)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.active_size))
        self.bias = nn.Parameter(torch.zeros(self.active_size))

    def forward(self, x: Tensor) -> Tensor:
        if not self._mixed:
            return self._normalised(x)
        total = torch.zeros_like(x)
        for width, weight in self._mixed["size"].weights.items():
            normalised = self._normalised(x[..., :width]) * weight
            total = total + F.pad(normalised, (0, x.shape[-1] - width))
        return total

    def _normalised(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        return F.layer_norm(x, (width,), self.weight[:width], self.bias[:width], self.eps)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        norm = nn.LayerNorm(self.active_size, eps=self.eps, device=self.weight.device)
        norm.weight.copy_(self.weight[: self.active_size])
        norm.bias.copy_(self.bias[: self.active_size])
        return norm.train(self.training)
