"""TE-NAS kappa: condition number of the neural tangent kernel; lower is better.

Paper: Chen et al., Neural Architecture Search on ImageNet in Four GPU Hours, ICLR 2021, arXiv 2102.11535, eq. 3:
kernel K_ij = <gradient of the sum of outputs of sample i, that of sample j> over all parameters named `weight`, batch
norm by the statistics of the batch, kappa = largest / least eigenvalue.
Differs: 8 samples instead of a batch of 64, because the definition takes one backward pass of the whole batch for each
of its samples: the cost grows with the square. Weights are those of the model; the released code draws them anew
(Kaiming, fan-out). A singular kernel has no score (the released code ranks it by rounding errors, or as 1e5).
`normalisation="sample"` is another kernel: batch norm treats every sample by itself, and only weights of convolutions
and linear layers count; it takes one pass for all samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError

SINGULAR = 1e-12  # squared rounding error of single precision gradients, relative to the largest eigenvalue

AT_ONCE = 2**26  # gradients of all samples that are multiplied at once: 512 MiB in double precision


@dataclass(frozen=True, kw_only=True)
class Ntk(Proxy):
    """A zero-cost proxy; the module defines its score.

    Args:
        samples: Examples of the batch between which the kernel is taken.
        normalisation: Batch norm by the statistics of these samples together (`batch`) or of each alone (`sample`).
    """

    samples: int = 8
    normalisation: Literal["batch", "sample"] = "batch"
    maximise: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ValueError(f"samples: {self.samples}; a kernel needs two or more")

    def __call__(self, passes: Passes) -> Score:
        samples = min(self.samples, len(passes.batch))
        if samples < 2:
            raise ScoreError("a kernel needs two examples or more, the batch holds one")
        kernel = batch_kernel(passes, samples) if self.normalisation == "batch" else sample_kernel(passes, samples)
        return Score(condition_number(kernel))


def batch_kernel(passes: Passes, samples: int) -> Tensor:
    """Return the kernel [samples, samples] in double precision, from one backward pass for each sample.

    Gathered passes are one, with the samples as another dimension of every gradient.
    """
    output = passes.trace(passes.batch.part(slice(samples)), input_gradients=False).output
    weights = [parameter for name, parameter in passes.model.named_parameters() if "weight" in name]
    kernel = torch.zeros(samples, samples, dtype=torch.float64, device=output.device)
    for gradients in (_at_once if passes.gathered else _one_by_one)(output, weights):
        together = gradients.double()
        kernel += together @ together.T
    return kernel


def _one_by_one(output: Tensor, weights: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield gradients of the output of each sample with respect to each weight [samples, numbers]."""
    rows = [torch.autograd.grad(one.sum(), weights, retain_graph=True, allow_unused=True) for one in output]
    for column in zip(*rows):
        parts = [gradient.flatten() for gradient in column if gradient is not None]
        if parts:
            yield torch.stack(parts)


def _at_once(output: Tensor, weights: Sequence[Tensor]) -> Iterator[Tensor]:
    """Yield the same from one backward pass, all weights together where they are not too many."""
    samples = len(output)
    chosen = torch.eye(samples, dtype=output.dtype, device=output.device)
    chosen = chosen.view(samples, samples, *(1,) * (output.dim() - 1)).expand(samples, *output.shape)

    def backward(cotangent: Tensor) -> tuple[Tensor, ...]:
        found = torch.autograd.grad(
            output, weights, cotangent, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return tuple(found)

    try:
        found = torch.func.vmap(backward)(chosen)
    except RuntimeError:  # an operation whose gradient knows no further dimension
        yield from _one_by_one(output, weights)
        return
    parts = [gradient.flatten(1) for gradient in found]
    yield from [torch.cat(parts, 1)] if sum(part.numel() for part in parts) <= AT_ONCE else parts


def sample_kernel(passes: Passes, samples: int) -> Tensor:
    """Return the same with every sample normalised by itself, from one pass."""
    kernel = torch.zeros(samples, samples, dtype=torch.float64, device=passes.device)
    for _, piece in passes.sample_gradients(slice(0, samples), "output"):
        together = piece.double().transpose(0, 1).flatten(1)
        kernel += together @ together.T
    return kernel


def condition_number(kernel: Tensor) -> float:
    """Return the largest over the least eigenvalue.

    Raises:
        ScoreError: The kernel is singular, or not finite.
    """
    if not bool(torch.isfinite(kernel).all()):
        raise ScoreError("gradients of the outputs are not finite")
    eigenvalues = torch.linalg.eigvalsh(kernel).tolist()
    if eigenvalues[0] <= SINGULAR * eigenvalues[-1]:
        raise ScoreError("the tangent kernel is singular: the gradients of the samples are linearly dependent")
    return eigenvalues[-1] / eigenvalues[0]
