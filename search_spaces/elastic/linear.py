"""Elastic linear layer: the first rows and columns of the full weight."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.architecture import Setting
from search_spaces.elastic.layer import Elastic
from search_spaces.elastic.mixing import mixed_weights, refuse_mixtures
from search_spaces.sizes import AnySize, Mixture, largest, mixtures, resolve


class ElasticLinear(Elastic):
    """Linear layer whose input and output features follow an architecture; a mixture of sizes mixes weights."""

    def __init__(self, in_size: AnySize, out_size: AnySize, *, bias: bool = True) -> None:
        super().__init__()
        self.in_size, self.out_size = in_size, out_size
        self.active_in, self.active_out = largest(in_size), largest(out_size)
        bound = 1 / math.sqrt(self.active_in)
        self.weight = nn.Parameter(torch.empty(self.active_out, self.active_in).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(self.active_out)) if bias else None
        self._mixed: dict[str, Mixture] = {}

    def full_weight(self) -> Tensor:
        """Weight of the largest setting [O, I]; a layer that generates its weights overrides this."""
        return self.weight

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
        weight = self.full_weight()[: self.active_out, : x.shape[-1]]
        bias = None if self.bias is None else self.bias[: self.active_out]
        if self._mixed:
            weight, bias = mixed_weights(self._mixed, weight, bias)
        return F.linear(x, weight, bias)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        linear = nn.utils.skip_init(
            nn.Linear, self.active_in, self.active_out, bias=self.bias is not None, device=self.weight.device
        )
        linear.weight.copy_(self.full_weight()[: self.active_out, : self.active_in])
        if self.bias is not None:
            linear.bias.copy_(self.bias[: self.active_out])
        return linear.train(self.training)
