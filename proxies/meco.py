"""MeCo: least eigenvalue of the correlation between the channels of every feature map.

Paper: Jiang et al., MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue of Correlation,
NeurIPS 2023: one image N(0, 1) of 64 x 64; for the output of every module, containers and the whole model among them,
the least eigenvalue of the correlation of its channels over positions (what is not finite becomes 0); their sum.
`channels=8` is MeCo_opt: as many random channels of each output, the eigenvalue times C / 8.
Differs: the value of one tree of modules is the published one, but the tree says how often an output counts: once for
every module that ends with it. Networks of this package have other containers than released ones. On the released
tree of NAS-Bench-201, where an operation is one module deeper, scores are 1.06 to 1.3 times as large; the order of 45
cells is nearly the same (Spearman 0.998). The output of a container is that of its last module: such an eigenvalue is
computed once. Maps with no more positions than channels, and vectors, have a singular correlation, so 0 is exact and
nothing is computed; a network without any other output has no score. Outputs that are not tensors do not count.
MeCo_opt takes all channels where there are fewer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError


@dataclass(frozen=True, kw_only=True)
class MeCo(Proxy):
    """A zero-cost proxy; the module defines its score.

    Args:
        size: Height and width of the picture.
        channels: Random channels of each output; None takes all.
        leaves_only: Leave out modules that contain others.
    """

    size: int = 64
    channels: int | None = None
    leaves_only: bool = False

    def __post_init__(self) -> None:
        if self.size < 2 or (self.channels is not None and self.channels < 2):
            raise ValueError(f"size and channels are 2 or more, got {self.size}, {self.channels}")

    def __call__(self, passes: Passes) -> Score:
        generator = passes.generator("meco")
        pictures = passes.batch.pictures
        shape = (1, pictures.shape[1], self.size, self.size)
        picture = torch.empty(shape, dtype=pictures.dtype, device=pictures.device).normal_(generator=generator)
        maps = _Outputs(self.channels, generator, gathered=passes.gathered)
        with maps.watching(passes.model, leaves_only=self.leaves_only):
            passes.trace((picture,), input_gradients=False)
        if not maps.factors:
            raise ScoreError("no output of the model has more positions than channels")
        return Score(maps.total())


class _Outputs:
    """Correlations of the outputs seen so far, equal outputs counted together.

    Args:
        channels: Random channels of each; None takes all.
        generator: Draws them.
        gathered: Whether outputs are kept, and those of one shape correlated together at the end.
    """

    def __init__(self, channels: int | None, generator: torch.Generator, *, gathered: bool) -> None:
        self.channels, self.generator, self.gathered = channels, generator, gathered
        self.seen: list[Tensor] = []  # correlations [C, C], or outputs [C, P] where they are gathered
        self.factors: list[float] = []
        self.last: tuple[Tensor, int, int] | None = None  # the latest output, its version, its number

    @contextmanager
    def watching(self, model: nn.Module, *, leaves_only: bool) -> Iterator[None]:
        modules = [m for m in model.modules() if not leaves_only or next(m.children(), None) is None]
        hooks = [module.register_forward_hook(self._see) for module in modules]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def total(self) -> float:
        """Return the sum of least eigenvalues; matrices of one size are decomposed together."""
        sums = []
        for which in _by_shape(self.seen):
            stack = torch.stack([self.seen[i] for i in which])
            stack = correlation(stack) if self.gathered else stack
            least = torch.linalg.eigvalsh(stack.double())[:, 0]
            sums.append((least * least.new_tensor([self.factors[i] for i in which])).sum())
        return float(torch.stack(sums).sum())

    def _see(self, module: nn.Module, inputs: Any, out: Any) -> None:
        if not isinstance(out, Tensor) or out.dim() < 3:
            return
        if self.channels is None and self.last and self.last[0] is out and self.last[1] == out._version:
            self.factors[self.last[2]] += 1
            return
        rows = out.detach()[0].flatten(1)
        factor = 1.0
        if self.channels is not None and self.channels < len(rows):
            factor = len(rows) / self.channels
            rows = rows[torch.randperm(len(rows), generator=self.generator, device=rows.device)[: self.channels]]
        if rows.shape[1] <= len(rows):
            return
        self.last = out, out._version, len(self.seen)
        self.seen.append(rows.clone() if self.gathered else correlation(rows))
        self.factors.append(factor)


def correlation(rows: Tensor) -> Tensor:
    """Return the correlation of channels over positions, rows [..., C, P]; 0 where it is not finite."""
    centred = rows - rows.mean(-1, keepdim=True)
    deviation = torch.linalg.vector_norm(centred, dim=-1)
    scaled = centred / torch.where(deviation > 0, deviation, 1.0)[..., None]
    return torch.nan_to_num(scaled @ scaled.mT, nan=0.0, posinf=0.0, neginf=0.0).clamp_(-1, 1)


def _by_shape(tensors: list[Tensor]) -> list[list[int]]:
    """Return the numbers of the tensors of each shape, in the order of shapes."""
    return [[i for i, t in enumerate(tensors) if t.shape == shape] for shape in sorted({t.shape for t in tensors})]
