"""Convolution and batch norm whose gradients can be differentiated again at the cost of a few ordinary passes.

Torch differentiates both of its own twice, but on the CPU a convolution then turns into one with the whole map as its
kernel and batch norm into dozens of operations: five to ten times slower. Here every second derivative is again a
convolution, its gradient, or one sum and one multiply-add over the feature map.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from proxies.recording import BATCH_NORMS, CONVOLUTION_ARGUMENTS, each_side

Geometry = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]
How = tuple[Geometry, tuple[bool, bool]]


class TwiceDifferentiable(TorchFunctionMode):
    """While active, two-dimensional convolutions and batch norms in training mode are those of this module; batch norm
    leaves its running statistics alone, and its affine parameters get no gradient.

    Args:
        gathered: Whether batch norm and its first gradient are torch's own, each one operation for channels first.
    """

    def __init__(self, *, gathered: bool = False) -> None:
        super().__init__()
        self.normalised = _fused_batch_norm if gathered else _batch_norm

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.conv2d:
            call = {**dict(zip(CONVOLUTION_ARGUMENTS, args)), **(kwargs or {})}
            if not isinstance(call.get("padding", 0), str):
                return _convolution(call)
        elif func in BATCH_NORMS:
            call = {**dict(zip(BATCH_NORMS[func], args)), **(kwargs or {})}
            if call.get("training", False):
                return self.normalised(call)
        return func(*args, **(kwargs or {}))


def _convolution(call: dict[str, Any]) -> Tensor:
    geometry = (
        each_side(call.get("stride", 1), 2),
        each_side(call.get("padding", 0), 2),
        each_side(call.get("dilation", 1), 2),
        call.get("groups", 1),
    )
    out = _Convolution.apply(call["input"], call["weight"], geometry)
    bias = call.get("bias")
    return out if bias is None else out + bias.view(-1, 1, 1)


def _batch_norm(call: dict[str, Any]) -> Tensor:
    x, weight, bias = call["input"], call.get("weight"), call.get("bias")
    rows = x.movedim(1, -1)
    channels = x.shape[1]
    scale = rows.new_ones(channels) if weight is None else weight.detach()
    out = _BatchNorm.apply(rows.reshape(-1, channels), scale, call.get("eps", 1e-5))
    out = out if bias is None else out + bias
    return out.view(rows.shape).movedim(-1, 1)


def _fused_batch_norm(call: dict[str, Any]) -> Tensor:
    x, weight, bias = call["input"], call.get("weight"), call.get("bias")
    scale = x.new_ones(x.shape[1]) if weight is None else weight.detach()
    out = _FusedBatchNorm.apply(x, scale, call.get("eps", 1e-5))
    return out if bias is None else out + bias.view(-1, *(1,) * (x.dim() - 2))


def _convolved(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    stride, padding, dilation, groups = geometry
    return F.conv2d(x, weight, None, stride, padding, dilation, groups)


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, *, of_x: bool, of_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    stride, padding, dilation, groups = geometry
    mask = (of_x, of_weight, False)
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, dilation, False, (0, 0), groups, mask
    )
    return found[0], found[1]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return _convolved(x, weight, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, _ = ctx.needs_input_grad
        found = _ConvolutionGradients.apply(gradients[0], x, weight, (ctx.geometry, (of_x, of_weight)))
        return found[0], found[1], None


class _ConvolutionGradients(torch.autograd.Function):
    """Bilinear in (output gradient, weight) and in (output gradient, input)."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, how: How) -> tuple[Tensor | None, Tensor | None]:
        geometry, (of_x, of_weight) = how
        ctx.save_for_backward(gradient, x, weight)
        ctx.geometry = geometry
        ctx.set_materialize_grads(False)
        return _gradients(gradient, x, weight, geometry, of_x=of_x, of_weight=of_weight)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        gradient, x, weight = ctx.saved_tensors
        over_x, over_weight = cotangents
        again, to_x, to_weight = None, None, None
        if over_x is not None:
            again = _convolved(over_x, weight, ctx.geometry)
            to_weight = _gradients(gradient, over_x, weight, ctx.geometry, of_x=False, of_weight=True)[1]
        if over_weight is not None:
            also = _convolved(x, over_weight, ctx.geometry)
            again = also if again is None else again.add_(also)
            to_x = _gradients(gradient, x, over_weight, ctx.geometry, of_x=True, of_weight=False)[0]
        return again, to_x, to_weight, None


class _BatchNorm(torch.autograd.Function):
    """Rows [M, C], normalised over M and scaled by constants [C]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, scale: Tensor, eps: float) -> Tensor:
        centred = rows - rows.mean(0)
        inverse_std = torch.rsqrt((centred * centred).mean(0) + eps)
        normalised = centred.mul_(inverse_std)
        ctx.save_for_backward(rows, normalised, inverse_std, scale)
        return normalised * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        rows, normalised, inverse_std, scale = ctx.saved_tensors
        return _BatchNormGradient.apply(gradients[0], rows, normalised, (inverse_std, scale)), None, None


class _BatchNormGradient(torch.autograd.Function):
    """With x^ the normalised rows, s the inverse deviation and w the scale, the gradient of a row of g is
    w s (g - mean g - x^ mean(g x^)). It is linear and symmetric in g; `rows` stands for what x^ and s came from.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, rows: Tensor, normalised: Tensor, scales: tuple[Tensor, Tensor]) -> Tensor:
        inverse_std, scale = scales
        ctx.save_for_backward(gradient, normalised, inverse_std, scale)
        return _projected(gradient, normalised, inverse_std * scale)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, Tensor, None, None]:
        g, normalised, inverse_std, scale = ctx.saved_tensors
        (v,) = cotangents
        # the sum of v times the gradient is M w s (q - p m); its derivative by row i follows from
        # d s = -s^2 x^_i / M and d x^_j = s (1[i=j] - 1/M - x^_i x^_j / M)
        p, m = (v * normalised).mean(0), (g * normalised).mean(0)
        v_mean, g_mean = v.mean(0), g.mean(0)
        q = (v * g).mean(0) - v_mean * g_mean
        outer = -scale * inverse_std**2
        to_rows = torch.addcmul(-outer * (m * v_mean + p * g_mean), normalised, outer * (q - 3 * p * m))
        to_rows.addcmul_(v, outer * m).addcmul_(g, outer * p)
        return _projected(v, normalised, inverse_std * scale), to_rows, None, None


def _projected(g: Tensor, normalised: Tensor, scale: Tensor) -> Tensor:
    slope = -scale * (g * normalised).mean(0)
    return torch.addcmul(-scale * g.mean(0), normalised, slope).addcmul_(g, scale)


class _FusedBatchNorm(torch.autograd.Function):
    """The same of [B, C, ...], by torch's operations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, eps: float) -> Tensor:
        out, mean, inverse_std = torch.native_batch_norm(x, scale, None, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, scale, mean, inverse_std)
        ctx.eps = eps
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, *statistics = ctx.saved_tensors
        return _FusedBatchNormGradient.apply(gradients[0], x, tuple(statistics), ctx.eps), None, None


class _FusedBatchNormGradient(torch.autograd.Function):
    """Torch's gradient gives sums of g and of g x^ beside it, which the second derivative needs of g and of v."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, statistics: tuple[Tensor, ...], eps: float) -> Tensor:
        out, over_scale, over_bias = _fused_gradient(gradient, x, statistics, eps)
        ctx.save_for_backward(gradient, x, *statistics, over_scale, over_bias)
        ctx.eps = eps
        return out

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, Tensor, None, None]:
        g, x, scale, mean, inverse_std, g_products, g_sum = ctx.saved_tensors
        (v,) = cotangents
        again, v_products, v_sum = _fused_gradient(v, x, (scale, mean, inverse_std), ctx.eps)
        count = x.numel() // x.shape[1]
        p, m, v_mean, g_mean = torch.stack((v_products, g_products, v_sum, g_sum)) / count
        q = (v * g).mean((0, *range(2, x.dim()))) - v_mean * g_mean
        outer = -scale * inverse_std**2
        slope = outer * inverse_std * (q - 3 * p * m)  # of x, which is mean + x^ / s
        shift = outer * (m * v_mean + p * g_mean) + slope * mean
        slope, shift, of_v, of_g = torch.stack((slope, -shift, outer * m, outer * p)).view(4, -1, *(1,) * (x.dim() - 2))
        to_x = torch.addcmul(shift, x, slope).addcmul_(v, of_v).addcmul_(g, of_g)
        return again, to_x, None, None


def _fused_gradient(
    gradient: Tensor, x: Tensor, statistics: tuple[Tensor, ...], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    scale, mean, inverse_std = statistics
    return torch.ops.aten.native_batch_norm_backward(
        gradient, x, scale, None, None, mean, inverse_std, True, eps, [True, True, True]
    )
