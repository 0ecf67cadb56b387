"""GradSign: how far the gradients of single samples agree in sign.

Paper: Zhang and Jia, GradSign: Model Performance Inference with Theoretical Insights, ICLR 2022, arXiv 2110.08616,
algorithm 1: sum over weights of |sum over samples of sign of the sample's gradient|, cross-entropy, weights of
convolutions and linear layers only.
Differs: nothing in the value. The released code runs one forward and backward pass for each sample; here all samples
go through one pass in which batch norm treats every sample by itself, and signs are summed layer by layer. Dropout
and stochastic depth are off. `mean` is the sum over weights divided by their number, as in an older copy of the code.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score

CHUNK_NUMBERS = 2**21  # numbers of input that go through the network at once; 682 pictures of 3 x 32 x 32


@dataclass(frozen=True, kw_only=True)
class GradSign(Proxy):
    """A zero-cost proxy; the module defines its score. Args: reduction: `sum` over weights, or their `mean`."""

    reduction: Literal["sum", "mean"] = "sum"

    def __call__(self, passes: Passes) -> Score:
        totals = sign_sums(passes)
        found = torch.stack(list(totals.values())).tolist() if totals else []
        layers = dict.fromkeys(passes.weights, 0.0) | dict(zip(totals, found))
        value = sum(layers.values(), 0.0)
        if self.reduction == "mean":
            sizes = {name: weight.numel() for name, weight in passes.weights.items()}
            layers = {name: total / sizes[name] for name, total in layers.items()}
            value /= sum(sizes.values())
        return Score(value, layers)


def sign_sums(passes: Passes) -> dict[str, torch.Tensor]:
    """Return |sum over samples of the sign of the gradient|, summed over the weights of each layer, as doubles."""
    samples = len(passes.batch)
    chunk = max(1, min(samples, CHUNK_NUMBERS // passes.batch.numbers))
    sums: list[torch.Tensor] = []
    layers: list[tuple[str, ...]] = []
    for start in range(0, samples, chunk):
        pieces = passes.sample_gradients(slice(start, start + chunk), "loss")
        for i, (names, piece) in enumerate(pieces):
            signs = piece.sign_().sum(1)
            if start == 0:
                layers.append(names)
                sums.append(signs)
            else:
                sums[i] += signs
    totals: dict[str, torch.Tensor] = {}
    for names, signs in zip(layers, sums):
        for name, total in zip(names, signs.abs_().sum(1, dtype=torch.float64)):
            totals[name] = totals[name] + total if name in totals else total
    return totals
