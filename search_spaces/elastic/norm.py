"""Elastic batch norm: the first channels of the affine weights and of the running statistics."""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.architecture import Architecture
from search_spaces.elastic.size import AnySize, Elastic, largest, resolve


class _SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes; so is its gradient, since every process uses the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


class ElasticBatchNorm2d(Elastic):
    """Batch norm over as many channels as arrive.

    All widths share the running statistics, so these fit no single subnet: an extracted layer carries them along
    with ``num_batches_tracked = 0``, which marks it as not calibrated.

    Attributes:
        synchronised: Whether batch statistics are those of all processes together (set by distributed training).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, size: AnySize, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.size, self.eps, self.momentum = size, eps, momentum
        self.active_size = largest(size)
        self.weight = nn.Parameter(torch.ones(self.active_size))
        self.bias = nn.Parameter(torch.zeros(self.active_size))
        self.register_buffer("running_mean", torch.zeros(self.active_size))
        self.register_buffer("running_var", torch.ones(self.active_size))
        self.synchronised = False

    def activate(self, architecture: Architecture) -> None:
        self.active_size = resolve(self.size, architecture) or self.active_size

    def forward(self, x: Tensor) -> Tensor:
        c = x.shape[1]
        mean, var, weight, bias = self.running_mean[:c], self.running_var[:c], self.weight[:c], self.bias[:c]
        if self.training and self.synchronised:
            return self._normalise_together(x, mean, var, weight, bias)
        return F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.eps)

    def _normalise_together(self, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Normalise by the statistics of the joined batch; every process holds a share of equal size."""
        n = x.numel() // x.shape[1] * dist.get_world_size()
        wide = x.to(weight.dtype)
        batch_mean = _SumOverProcesses.apply(wide.sum((0, 2, 3))) / n
        centred = wide - batch_mean[:, None, None]
        batch_var = _SumOverProcesses.apply(centred.square().sum((0, 2, 3))) / n
        with torch.no_grad():
            mean.lerp_(batch_mean, self.momentum)
            var.lerp_(batch_var * (n / max(n - 1, 1)), self.momentum)
        scale = weight * torch.rsqrt(batch_var + self.eps)
        return (centred * scale[:, None, None] + bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        c = self.active_size
        norm = nn.BatchNorm2d(c, eps=self.eps, momentum=self.momentum, device=self.weight.device)
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(norm, name).copy_(getattr(self, name)[:c])
        return norm.train(self.training)
