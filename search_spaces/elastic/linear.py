"""Elastic linear layer: the first rows and columns of the full weight."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic.mixing import mixed_weights, refuse_mixtures
from search_spaces.elastic.product import LINEAR
from search_spaces.elastic.quantized import Weighted
from search_spaces.sizes import LayerSize, Mixture, largest, mixtures, resolve


def plain_linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a plain linear layer with copies of weight [O, I] and bias [O]."""
    outputs, inputs = weight.shape
    linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias is not None, device=weight.device)
    linear.weight.copy_(weight)
    if bias is not None:
        linear.bias.copy_(bias)
    return linear


class ElasticLinear(Weighted):
    """Linear layer whose input and output features follow an architecture; a mixture of sizes mixes weights."""

    kind = LINEAR

    def __init__(self, in_size: LayerSize, out_size: LayerSize, *, bias: bool = True) -> None:
        super().__init__()
        self.in_size, self.out_size = in_size, out_size
        self.active_in, self.active_out = largest(in_size), largest(out_size)
        bound = 1 / math.sqrt(self.active_in)
        self.weight = nn.Parameter(torch.empty(self.active_out, self.active_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(self.active_out)) if bias else None
        self._mixed: dict[str, Mixture] = {}

    def full_bias(self) -> Tensor | None:
        """Return the bias of the largest setting [O]; a layer that generates its weights may override this, too."""
        return self.bias

    def active_weights(self, inputs: int) -> tuple[Tensor, Tensor | None]:
        """Return weight [out, inputs] and bias [out] of the active setting, for inputs with this many features."""
        bias = self.full_bias()
        return self.full_weight()[: self.active_out, :inputs], None if bias is None else bias[: self.active_out]

    def activate(self, setting: Setting) -> None:
        in_size, out_size = resolve(self.in_size, setting), resolve(self.out_size, setting)
        if isinstance(in_size, int) and isinstance(out_size, int):
            self.active_in, self.active_out = in_size, out_size
            if self._mixed:
                self._mixed = {}
        elif in_size is not None and out_size is not None:
            self.active_in, self.active_out = largest(in_size), largest(out_size)
            self._mixed = mixtures(inputs=in_size, outputs=out_size)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.active_weights(x.shape[-1])
        if self._mixed:
            weight, bias = mixed_weights(self._mixed, weight, bias)
        return F.linear(*self.rounded(x, weight), bias)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        return self.extracted_as(plain_linear(*self.active_weights(self.active_in)))
