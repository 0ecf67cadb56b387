"""Elastic batch norm: the first channels of the affine weights and of the running statistics."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from search_spaces.elastic.size import AnySize, Elastic, largest, resolve
from search_spaces.space import Architecture


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
        world = dist.get_world_size()
        sums = torch.stack([x.float().sum((0, 2, 3)), x.float().square().sum((0, 2, 3))])
        n = x.numel() // x.shape[1] * world
        batch_mean, square = all_reduce(sums) / n
        batch_var = (square - batch_mean.square()).clamp_min(0.0)
        with torch.no_grad():
            mean.lerp_(batch_mean, self.momentum)
            var.lerp_(batch_var * (n / max(n - 1, 1)), self.momentum)
        scale = weight * torch.rsqrt(batch_var + self.eps)
        shift = bias - batch_mean * scale
        return (x * scale[:, None, None] + shift[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        c = self.active_size
        norm = nn.BatchNorm2d(c, eps=self.eps, momentum=self.momentum, device=self.weight.device)
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(norm, name).copy_(getattr(self, name)[:c])
        return norm.train(self.training)
