"""Trace norm of the neural tangent kernel, the quantity that NASI and HNAS maximise.

Paper: Shu et al., NASI: Label- and Data-agnostic Neural Architecture Search at Initialization, ICLR 2022,
arXiv 2109.00817; Shu et al., Unifying and Boosting Gradient-Based Training-Free Neural Architecture Search,
NeurIPS 2022, arXiv 2201.09785 (the trace of the kernel at initialisation, whose root is taken there).
Computed here: the sum over samples of the squared norm of the gradient of the sum of outputs of that sample, over
weights of convolutions and linear layers; each sample is normalised by itself. That is the trace of the kernel of the
sum of outputs, as in TE-NAS.
Differs: the trace of the papers sums over outputs as well, without the products between different outputs; NASI itself
approximates it by the norm of the gradient of the loss of a batch, punished beyond a bound. No root is taken and
nothing is divided by the number of samples, which leaves the order of architectures as it is. 8 samples of the batch
are used.
"""

from dataclasses import dataclass

import torch

from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score


@dataclass(frozen=True, kw_only=True)
class Nasi(Proxy):
    """A zero-cost proxy; the module defines its score. Args: samples: Examples of the batch over which the trace is
    taken.
    """

    samples: int = 8

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples: {self.samples} is not positive")

    def __call__(self, passes: Passes) -> Score:
        squares: dict[str, torch.Tensor] = {}
        for names, piece in passes.sample_gradients(slice(0, self.samples), "output"):
            found = torch.linalg.vector_norm(piece, dim=(1, 2), dtype=torch.float64).square()
            for name, square in zip(names, found):
                squares[name] = squares[name] + square if name in squares else square
        shares = torch.stack(list(squares.values())).tolist() if squares else []
        layers = dict.fromkeys(passes.weights, 0.0) | dict(zip(squares, shares))
        return Score(sum(shares), layers)
