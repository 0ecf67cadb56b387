"""Weights drawn anew, for proxies that are defined on an initialisation of their own."""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from proxies.passes import WEIGHT_LAYERS


def draw_gaussian(model: nn.Module, generator: torch.Generator) -> None:
    """Draw weights N(0, 1); biases 0, norms 1 and 0."""
    _reset(model)
    for module in model.modules():
        if isinstance(module, WEIGHT_LAYERS):
            module.weight.data.copy_(_normal(module.weight, generator))


def draw_kaiming(model: nn.Module, generator: torch.Generator) -> None:
    """Draw weights normal with variance 2 / fan-in; biases 0, norms 1 and 0."""
    _reset(model)
    for module in model.modules():
        if isinstance(module, WEIGHT_LAYERS):
            module.weight.data.copy_(_normal(module.weight, generator).mul_(sqrt(2 / module.weight[0].numel())))


def _normal(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Draw numbers N(0, 1) as contiguous, which is many times faster than in a weight with channels last."""
    return torch.empty(weight.shape, dtype=weight.dtype, device=weight.device).normal_(generator=generator)


def _reset(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, (*WEIGHT_LAYERS, _BatchNorm, nn.GroupNorm)):
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if module.weight is not None and not isinstance(module, WEIGHT_LAYERS):
                nn.init.ones_(module.weight)
