"""Elastic batch norm: the first channels of the affine weights and of the running statistics."""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.elastic.mixing import channel_factors, refuse_mixtures
from search_spaces.elastic.sized import Sized
from search_spaces.sizes import AnySize


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


def normalised_together(
    x: Tensor,
    statistics: tuple[Tensor, Tensor],
    affine: tuple[Tensor | None, Tensor | None],
    momentum: float,
    eps: float,
) -> Tensor:
    """Normalise by the statistics of the joined batch; every process holds a share of equal size.

    Args:
        x: Values [B, C, ...].
        statistics: Running mean and variance [C], updated in place.
        affine: Weight and bias [C], or nothing.
        momentum, eps: As those of `nn.BatchNorm2d`.
    """
    (mean, var), (weight, bias) = statistics, affine
    shape, others = (-1, *[1] * (x.dim() - 2)), [d for d in range(x.dim()) if d != 1]
    n = x.numel() // x.shape[1] * dist.get_world_size()
    wide = x.to(mean.dtype)
    batch_mean = _SumOverProcesses.apply(wide.sum(others)) / n
    centred = wide - batch_mean.view(shape)
    batch_var = _SumOverProcesses.apply(centred.square().sum(others)) / n
    with torch.no_grad():
        mean.lerp_(batch_mean, momentum)
        var.lerp_(batch_var * (n / max(n - 1, 1)), momentum)
    normalised = centred * torch.rsqrt(batch_var + eps).view(shape)
    if weight is not None and bias is not None:
        normalised = normalised * weight.view(shape) + bias.view(shape)
    return normalised.to(x.dtype)


class ElasticBatchNorm2d(Sized):
    """Batch norm over as many channels as arrive.

    All widths share the running statistics, so these fit no single subnet: an extracted layer carries them along
    with ``num_batches_tracked = 0``, which marks it as not calibrated.

    A mixture of sizes scales every channel by the summed weights of the sizes that have it.

    Args:
        size: Channels.
        eps, momentum: As those of `nn.BatchNorm2d`.
        affine: Whether each channel has a learned weight and bias.

    Attributes:
        synchronised: Whether batch statistics are those of all processes together (set by distributed training).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, size: AnySize, *, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        super().__init__(size)
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(self.active_size)) if affine else None
        self.bias = nn.Parameter(torch.zeros(self.active_size)) if affine else None
        self.register_buffer("running_mean", torch.zeros(self.active_size))
        self.register_buffer("running_var", torch.ones(self.active_size))
        self.synchronised = False

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        weight: Tensor | None = self.weight
        bias: Tensor | None = self.bias
        if (c := x.shape[1]) != len(mean):
            mean, var = mean[:c], var[:c]
            weight, bias = (None, None) if weight is None or bias is None else (weight[:c], bias[:c])
        if self._mixed:
            return self._run(x, mean, var, weight, bias) * self._factors(x)
        return self._run(x, mean, var, weight, bias)

    def _factors(self, x: Tensor) -> Tensor:
        """Return factors [C, 1, 1]; to mix weights and biases alike is to mix what they give."""
        return channel_factors(self._mixed["size"], x.shape[1], x)[:, None, None]

    def _run(self, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        if self.training and self.synchronised:
            return normalised_together(x, (mean, var), (weight, bias), self.momentum, self.eps)
        return F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.eps)

    @torch.no_grad()
    def extract(self) -> nn.Module:
        refuse_mixtures(self._mixed)
        c = self.active_size
        affine, device = self.weight is not None, self.running_mean.device
        norm = nn.BatchNorm2d(c, eps=self.eps, momentum=self.momentum, affine=affine, device=device)
        for name in ("weight", "bias", "running_mean", "running_var"):
            if (shared := getattr(self, name)) is not None:
                getattr(norm, name).copy_(shared[:c])
        return norm.train(self.training)


def with_shared_norms(network: nn.Module, *, affine: bool = True) -> nn.Module:
    """Return the network, changed in place, with an `ElasticBatchNorm2d` for every plain batch norm.

    A plain network becomes part of a supernet by this: several subnets run through its norms, whose running statistics
    then fit none of them. Without `affine`, none of the new norms has weights.
    """
    if isinstance(network, nn.BatchNorm2d):
        assert network.momentum is not None
        norm = ElasticBatchNorm2d(
            network.num_features, eps=network.eps, momentum=network.momentum, affine=affine and network.affine
        )
        with torch.no_grad():
            for shared, own in ((norm.weight, network.weight), (norm.bias, network.bias)):
                if shared is not None:
                    shared.copy_(own)
        return norm.train(network.training)
    for name, child in network.named_children():
        setattr(network, name, with_shared_norms(child, affine=affine))
    return network
