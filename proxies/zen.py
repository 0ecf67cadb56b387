"""Zen: how strongly the features of a random network react to noise on its input, batch norm undone.

Paper: Lin et al., Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition, ICCV 2021, arXiv 2102.01063,
algorithm 1: log of the mean over inputs of sum |F(x) - F(x + gamma x')| before global pooling, plus the sum over batch
norms of log sqrt(mean over channels of the variance); weights and inputs N(0, 1), gamma 0.01.
Differs: 2 repetitions instead of the published 32, which makes the cost that of 0.6 forward and backward passes of 64
images. `zen` is the paper's formula, not the released code: the variances are those of the batch x. The released code
reads running variances, which start at 1, move by a tenth at each of the two passes of a repetition and are never
reset: that is `zen_running`, or `variance="running"`. The two are different scores: on 262 NAS-Bench-201 cells their
Spearman correlations with the accuracy are 0.411 and 0.315. Batch norm
without running statistics works as well. A batch norm whose input is constant (behind a `none` operation) is left out
instead of making the score minus infinity. The features are the input of the last call that takes a map [B, C, H, W]
to one number or vector per channel (global pooling, or flattening), so squeeze-and-excitation does not count; without
such a call they are the last map.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from proxies.passes import Passes, output_of
from proxies.proxy import Proxy
from proxies.redrawn import draw_gaussian
from proxies.scores import Score, ScoreError


@dataclass(frozen=True, kw_only=True)
class Zen(Proxy):
    """A zero-cost proxy; the module defines its score.

    Args:
        repeats: How often weights and inputs are drawn.
        batch: Inputs of each repetition.
        gamma: Size of the noise.
        variance: Variance that a batch norm uses: that of its `batch`, or the `running` one.
    """

    repeats: int = 2
    batch: int = 16
    gamma: float = 0.01
    variance: Literal["batch", "running"] = "batch"

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.batch < 1 or self.gamma <= 0:
            raise ValueError(f"repeats, batch and gamma are positive, got {self.repeats}, {self.batch}, {self.gamma}")

    def __call__(self, passes: Passes) -> Score:
        model = passes.duplicate().requires_grad_(False)
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        if not norms:
            raise ScoreError("the model has no batch norm, whose variances are part of this score")
        pictures = passes.batch.pictures
        for norm in norms:
            _keep_variance(norm, pictures, whole=self.variance == "batch")
        generator = passes.generator("zen")
        size = (self.batch, *pictures.shape[1:])
        scores = []
        for _ in range(self.repeats):
            draw_gaussian(model, generator)
            x = torch.empty(size, dtype=pictures.dtype, device=pictures.device)
            x.normal_(generator=generator)
            noisy = torch.empty_like(x).normal_(generator=generator).mul_(self.gamma).add_(x)
            scores.append(self._once(model, norms, x, noisy))
        return Score(float(torch.stack(scores).mean()))

    @torch.no_grad()
    def _once(self, model: nn.Module, norms: list[_BatchNorm], x: Tensor, noisy: Tensor) -> Tensor:
        before = features(model, x)
        if self.variance == "batch":
            scale = _log_scale(norms)
        difference = (before - features(model, noisy)).abs_().flatten(1).sum(1, dtype=torch.float64).mean()
        return difference.log() + (_log_scale(norms) if self.variance == "running" else scale)


@dataclass(frozen=True, kw_only=True)
class ZenRunning(Zen):
    """The score of the released code.

    Args:
        repeats: How often weights and inputs are drawn.
        batch: Inputs of each repetition.
        gamma: Size of the noise.
        variance: Variance of a batch norm: the `running` one, or that of its `batch`.
    """

    variance: Literal["batch", "running"] = "running"


def features(model: nn.Module, pictures: Tensor) -> Tensor:
    """Return the map before global pooling [B, C, H, W].

    Raises:
        ScoreError: No map is computed anywhere.
    """
    with _Maps() as maps:
        output_of(model, (pictures,))
    found = maps.last if maps.pooled is None else maps.pooled
    if found is None:
        raise ScoreError("the model computes no feature map [B, C, H, W], which this score compares")
    return found


class _Maps(TorchFunctionMode):
    """A recorder of the map that was pooled last, and of the last map of all."""

    def __init__(self) -> None:
        super().__init__()
        self.pooled: Tensor | None = None
        self.last: Tensor | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.is_floating_point():
            if args and isinstance(args[0], Tensor) and func is not F.conv2d and _is_pooled(args[0], out):
                self.pooled = args[0]
            if out.dim() == 4:
                self.last = out
        return out


def _is_pooled(x: Tensor, out: Tensor) -> bool:
    if x.dim() != 4 or x.shape[2] * x.shape[3] == 1 or out.dim() not in (2, 4) or len(out) != len(x):
        return False
    return out.dim() == 2 or (out.shape[1] == x.shape[1] and out.shape[2] * out.shape[3] == 1)


def _keep_variance(norm: _BatchNorm, like: Tensor, *, whole: bool) -> None:
    """Let the running variance of a batch norm start anew and, where `whole`, become that of each batch."""
    norm.track_running_stats = True
    norm.running_mean = like.new_zeros(norm.num_features)
    norm.running_var = like.new_ones(norm.num_features)
    norm.num_batches_tracked = torch.zeros((), dtype=torch.long, device=like.device)
    if whole:
        norm.momentum = 1.0


def _log_scale(norms: list[_BatchNorm]) -> Tensor:
    running = [norm.running_var for norm in norms if norm.running_var is not None]
    variances = torch.stack([variance.mean(dtype=torch.float64) for variance in running])
    return torch.where(variances > 0, variances, 1.0).log().sum() / 2
