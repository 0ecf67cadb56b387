"""Scores that are sums over layers."""

from collections.abc import Iterable, Mapping
from math import fsum

import torch
from torch import Tensor

from proxies.scores import Score


def layer_sum(shares: Mapping[str, Tensor]) -> Score:
    """Return the sum of one number a layer, read from the device at once."""
    numbers = torch.stack([share.double() for share in shares.values()]).tolist() if shares else []
    return Score(fsum(numbers), dict(zip(shares, numbers)))


def weighted_gradients(weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> Iterable[tuple[str, Tensor]]:
    """Return weight times gradient, elementwise, by layer."""
    return ((name, weight.detach() * gradients[name]) for name, weight in weights.items())
