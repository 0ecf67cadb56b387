"""NASWOT: how different the ReLU patterns of the samples are.

Paper: Mellor et al., Neural Architecture Search without Training, arXiv 2006.04647: with c the binary code
of a sample at a ReLU, 1 where its input is positive, K = sum over ReLUs of c c^T + (1 - c)(1 - c)^T, and the score is
log |det K|.
Differs: every ReLU that runs counts, as in NASLib; the released code leaves out those without a gradient. Where two
samples have the same codes K is singular and there is no score, instead of minus infinity or rounding. Models without
ReLUs are scored by the signs of what their smooth activations read.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError

EXACT_UNITS = 2**24  # integers up to here are exact in single precision


@dataclass(frozen=True, kw_only=True)
class Nwot(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    def __call__(self, passes: Passes) -> Score:
        signs = passes.ordinary.signs
        if not signs:
            raise ScoreError("the model has no activation whose signs could be compared")
        eigenvalues = torch.linalg.eigvalsh(agreements([torch.cat(signs, 1)] if passes.gathered else signs))
        least, largest = float(eigenvalues[0]), float(eigenvalues[-1])
        if least <= largest * len(eigenvalues) * torch.finfo(torch.float64).eps:
            raise ScoreError("samples have the same activation pattern, or too few patterns differ: det K is zero")
        return Score(float(eigenvalues.log().sum()))


def agreements(signs: list[Tensor]) -> Tensor:
    """Return how many units have equal signs for two samples [B, B], in double precision on the host.

    Args:
        signs: Booleans [B, units] of each activation.
    """
    samples = len(signs[0])
    total = torch.zeros(samples, samples, dtype=torch.float64, device=signs[0].device)
    for sign in signs:
        for units in sign.split(EXACT_UNITS, 1):
            # of d units, (d + s.s') / 2 agree, with signs s of +1 and -1
            code = units.float().mul_(2).sub_(1)
            total += (code @ code.T).double().add_(units.shape[1]).div_(2)
    return total.cpu()
