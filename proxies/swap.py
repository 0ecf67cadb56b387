"""SWAP: number of distinct patterns in which the neurons of a network are on over a few samples.

Paper: Peng et al., SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS, ICLR 2024, arXiv 2403.04161: signs of
all ReLU outputs [samples, neurons], number of distinct columns, batch of 16; regularised: times
exp(-(P - mu)^2 / sigma) with the number of parameters P in thousands, mu and sigma chosen for the space.
Differs: the weights are those of the model; the released code draws them from N(0, 1) 32 times and takes the mean.
ReLUs on vectors count like those on maps, of which the published networks have no others. A network without any ReLU
is judged by its smooth activations.
"""

from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor

from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError

TABLE_SAMPLES = 20  # up to 2^20 patterns are ticked off in a table, more are sorted


@dataclass(frozen=True, kw_only=True)
class Swap(Proxy):
    """A zero-cost proxy; the module defines its score.

    Args:
        samples: Examples of the batch that are used.
        mu: Number of parameters that is not punished, in thousands; None leaves the score as it is.
        sigma: How fast other numbers are punished.
    """

    samples: int = 16
    mu: float | None = None
    sigma: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 62:
            raise ValueError(f"samples: {self.samples} is not in 1 to 62")
        if (self.mu is None) != (self.sigma is None) or (self.sigma is not None and self.sigma <= 0):
            raise ValueError(f"mu and a positive sigma come together, got {self.mu}, {self.sigma}")

    def __call__(self, passes: Passes) -> Score:
        if self.samples < len(passes.batch):
            signs = passes.trace(passes.batch.part(slice(self.samples)), input_gradients=False, signs=True).signs
        else:
            signs = passes.ordinary.signs
        if not signs:
            raise ScoreError("the model has no activation whose sign could be read")
        value = float(distinct_columns([torch.cat(signs, 1)] if passes.gathered else signs))
        if self.mu is not None and self.sigma is not None:
            thousands = sum(parameter.numel() for parameter in passes.model.parameters()) / 1e3
            value *= exp(-((thousands - self.mu) ** 2) / self.sigma)
        return Score(value)


def distinct_columns(signs: list[Tensor]) -> int:
    """Return the number of distinct columns of [samples, neurons], given side by side as booleans."""
    samples = len(signs[0])
    if samples > TABLE_SAMPLES:
        return len(torch.unique(torch.cat([_packed(s, torch.int64) for s in signs])))
    seen = torch.zeros(2**samples, dtype=torch.bool, device=signs[0].device)
    for some in signs:
        seen[_packed(some, torch.int32)] = True
    return int(seen.sum())


def _packed(signs: Tensor, dtype: torch.dtype) -> Tensor:
    """Return every column as one number, a bit for each sample."""
    codes = signs[0].to(dtype)
    for i, row in enumerate(signs[1:], 1):
        codes |= row.to(dtype) << i
    return codes
