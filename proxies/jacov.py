"""Jacobian covariance: how different the input gradients of the samples are.

Paper: Mellor et al., Neural Architecture Search without Training, arXiv 2006.04647 version 1. J_n is the
gradient of the sum of all outputs with respect to input n; with v the eigenvalues of the correlation matrix of the
rows, the score is -sum(log(v + k) + 1 / (v + k)), k = 1e-5. It is at most -B, for gradients that do not correlate.
Differs: correlations and eigenvalues in double precision by a symmetric solver, so eigenvalues are real, and those
below zero by rounding count as zero. A gradient that is the same for all numbers of an input has no correlation: no
score.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError

OFFSET = 1e-5


@dataclass(frozen=True, kw_only=True)
class Jacov(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    def __call__(self, passes: Passes) -> Score:
        eigenvalues = torch.linalg.eigvalsh(passes.shared(input_correlations)).clamp(min=0) + OFFSET
        return Score(-float((eigenvalues.log() + 1 / eigenvalues).sum()))


def input_correlations(passes: Passes) -> Tensor:
    """Return correlations between the input gradients of samples [B, B], in double precision on the host.

    Raises:
        ScoreError: An input gradient is constant, or not finite.
    """
    gradients = passes.input_gradients
    rows = gradients.double()
    centred = rows - rows.mean(1, keepdim=True)
    norms, sizes = torch.linalg.vector_norm(centred, dim=1), torch.linalg.vector_norm(rows, dim=1)
    # what remains of a constant row is the rounding of the single numbers
    limits = 4 * torch.finfo(gradients.dtype).eps * sizes
    unit = centred / norms.unsqueeze(1)
    correlations = torch.cat([unit @ unit.T, (norms - limits).unsqueeze(1)], 1).cpu()
    constant = int((~(correlations[:, -1] > 0)).sum())
    if constant:
        raise ScoreError(
            f"{constant} of {len(rows)} input gradients are constant or not finite, so they have no correlation"
        )
    return correlations[:, :-1].clamp(-1, 1)
