"""Elastic linear layer whose features stand in parts of one length, each of which keeps its first ones.

So several projections can share one weight (queries, keys and values of attention), and a head of attention keeps its
own features when heads become narrower.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.elastic.linear import ElasticLinear, plain_linear
from search_spaces.elastic.mixing import channel_factors, refuse_mixtures
from search_spaces.sizes import LayerSize, largest


class ElasticChunkedLinear(ElasticLinear):
    """Linear layer from `in_chunks` parts of inputs to `out_chunks` parts of outputs; a mixture of sizes mixes weights.

    Args:
        in_size, out_size: Features of one part.
        in_chunks, out_chunks: Number of parts.
        bias: Whether a bias is added.
    """

    def __init__(
        self, in_size: LayerSize, out_size: LayerSize, *, in_chunks: int = 1, out_chunks: int = 1, bias: bool = True
    ) -> None:
        super().__init__(largest(in_size) * in_chunks, largest(out_size) * out_chunks, bias=bias)
        self.in_size, self.out_size = in_size, out_size
        self.in_chunks, self.out_chunks = in_chunks, out_chunks
        self.active_in, self.active_out = largest(in_size), largest(out_size)

    def active_weights(self, inputs: int) -> tuple[Tensor, Tensor | None]:
        weight, bias = self.full_weight(), self.full_bias()
        parts = weight.unflatten(0, (self.out_chunks, -1)).unflatten(2, (self.in_chunks, -1))
        parts = parts[:, : self.active_out, :, : inputs // self.in_chunks]
        weight = parts.flatten(2).flatten(0, 1)
        if bias is not None:
            bias = self.kept(bias, len(weight))
        return weight, bias

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.active_weights(x.shape[-1])
        if (mixture := self._mixed.get("inputs")) is not None:
            factors = channel_factors(mixture, x.shape[-1] // self.in_chunks, weight)
            weight = weight * factors.repeat(self.in_chunks)
        if (mixture := self._mixed.get("outputs")) is not None:
            factors = channel_factors(mixture, self.active_out, weight).repeat(self.out_chunks)
            weight, bias = weight * factors[:, None], None if bias is None else bias * factors
        return F.linear(*self.rounded(x, weight), bias)

    def kept(self, vector: Tensor, outputs: int) -> Tensor:
        return vector.unflatten(0, (self.out_chunks, -1))[:, : self.active_out].flatten()

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        return self.extracted_as(plain_linear(*self.active_weights(self.active_in * self.in_chunks)))
