"""ZiCo: mean over deviation of the gradient between batches.

Paper: Li et al., ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients, ICLR 2023, arXiv 2301.11300,
eq. 15: sum over layers of log of the sum over weights of mean |g| / std(g) over batches, cross-entropy, weights of
convolutions and linear layers, population deviation; weights whose deviation is zero do not count, and neither do
layers that have no other weight.
Differs: the given batch is split into `batches` parts, where the paper draws two batches of 128.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError


@dataclass(frozen=True, kw_only=True)
class ZiCo(Proxy):
    """A zero-cost proxy; the module defines its score. Args: batches: Parts of the batch whose gradients are
    compared.
    """

    batches: int = 2

    def __post_init__(self) -> None:
        if self.batches < 2:
            raise ValueError(f"batches: {self.batches}; a deviation needs two or more")

    def __call__(self, passes: Passes) -> Score:
        examples = len(passes.batch)
        if examples < self.batches:
            raise ScoreError(f"a batch of {examples} examples cannot be split into {self.batches} parts")
        gradients = [passes.gradients_of(rows) for rows in parts(examples, self.batches)]
        variations = _at_once if passes.gathered else _by_layer
        sums = torch.stack(variations([list(gradient.values()) for gradient in gradients])).tolist()
        logs = torch.tensor([total for total in sums if total > 0], dtype=torch.float64).log().tolist()
        names = [name for name, total in zip(passes.weights, sums) if total > 0]
        if not names:
            raise ScoreError("no gradient differs between the parts of the batch")
        return Score(sum(logs), dict(zip(names, logs)))


def parts(examples: int, number: int) -> list[slice]:
    """Return which examples are in each part; the first ones have one more where the number does not divide them."""
    size, more = divmod(examples, number)
    ends = [part * size + min(part, more) for part in range(number + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def inverse_variation(gradients: list[Tensor]) -> Tensor:
    """Return the sum over weights of mean |g| / std(g) over batches, without weights whose deviation is zero."""
    return _ratios(gradients).sum(dtype=torch.float64)


def _by_layer(gradients: list[list[Tensor]]) -> list[Tensor]:
    return [inverse_variation(list(layer)) for layer in zip(*gradients)]


def _at_once(gradients: list[list[Tensor]]) -> list[Tensor]:
    """Return the same for all layers, in a few operations."""
    ratios = _ratios([torch.cat([layer.flatten() for layer in part]) for part in gradients])
    return list(torch._foreach_norm(ratios.split([layer.numel() for layer in gradients[0]]), 1, dtype=torch.float64))


def _ratios(gradients: list[Tensor]) -> Tensor:
    stacked = torch.stack(gradients)
    deviation = (stacked - stacked.mean(0)).square_().mean(0).sqrt_()  # `std` takes far longer along this dimension
    ratio = stacked.abs_().mean(0) / deviation
    return torch.where(deviation > 0, ratio, 0.0)
