"""Plain layers of torch for operations of a graph."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from search_spaces.elastic.graph.literals import Call, aten

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Kind:
    """How a layer stands behind an operation.

    Args:
        make: Arguments of the operation, tensors by their names in the layer, dimensions of the input -> the layer,
            without storage.
        names: Position of an argument -> name of the tensor in the layer.
    """

    make: Callable[[tuple[Any, ...], Tensors, int], nn.Module]
    names: Mapping[int, str]


_WEIGHTS = {1: "weight", 2: "bias"}
_SHIFTED = {2: "weight", 3: "bias"}
_STATISTICS = {1: "weight", 2: "bias", 3: "running_mean", 4: "running_var"}


def _at(args: Sequence[Any], place: int, default: Any) -> Any:
    return args[place] if place < len(args) else default


def _size(value: Any) -> Any:
    """Return a size of each side as layers keep it."""
    return tuple(value) if isinstance(value, list | tuple) else value


def _convolution(kind: type[nn.Module], sides: int) -> Callable[[tuple[Any, ...], Tensors, int], nn.Module]:
    def make(args: tuple[Any, ...], tensors: Tensors, _: int) -> nn.Module:
        weight, groups = tensors["weight"], _at(args, 6, 1)
        stride, padding, dilation = (_each(_at(args, place, one), sides) for place, one in ((3, 1), (4, 0), (5, 1)))
        settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        channels = (weight.shape[1] * groups, weight.shape[0])
        return kind(*channels, tuple(weight.shape[2:]), **settings, bias="bias" in tensors, device="meta")

    return make


def _each(value: Any, sides: int) -> Any:
    """Return a setting of a convolution for each of its sides."""
    if isinstance(value, str):
        return value
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    return values * sides if len(values) == 1 else values


def _transposed(args: tuple[Any, ...], tensors: Tensors, _: int) -> nn.Module:
    weight, groups = tensors["weight"], _at(args, 6, 1)
    places = {"stride": (3, 1), "padding": (4, 0), "output_padding": (5, 0), "dilation": (7, 1)}
    settings = {name: _each(_at(args, place, one), 2) for name, (place, one) in places.items()}
    channels = (weight.shape[0], weight.shape[1] * groups)
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    bias = "bias" in tensors
    return nn.ConvTranspose2d(*channels, kernel, **settings, groups=groups, bias=bias, device="meta")


def _linear(args: tuple[Any, ...], tensors: Tensors, _: int) -> nn.Module:
    out_features, in_features = tensors["weight"].shape
    return nn.Linear(in_features, out_features, bias="bias" in tensors, device="meta")


def _batch_norm(args: tuple[Any, ...], tensors: Tensors, dimensions: int) -> nn.Module:
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[dimensions]
    size, affine = len(next(iter(tensors.values()))), "weight" in tensors
    tracked = "running_mean" in tensors
    return kind(size, args[7], args[6], affine=affine, track_running_stats=tracked, device="meta")


def _layer_norm(args: tuple[Any, ...], tensors: Tensors, _: int) -> nn.Module:
    return nn.LayerNorm(list(args[1]), eps=_at(args, 4, 1e-5), bias="bias" in tensors, device="meta")


def _group_norm(args: tuple[Any, ...], tensors: Tensors, _: int) -> nn.Module:
    return nn.GroupNorm(args[1], len(tensors["weight"]), eps=_at(args, 4, 1e-5), device="meta")


def _rms_norm(args: tuple[Any, ...], tensors: Tensors, _: int) -> nn.Module:
    return nn.RMSNorm(list(args[1]), eps=_at(args, 3, None), device="meta")


def _prelu(args: tuple[Any, ...], tensors: Tensors, _: int) -> nn.Module:
    return nn.PReLU(len(tensors["weight"]), device="meta")


LAYERS: dict[Any, Kind] = {
    aten.conv1d.default: Kind(_convolution(nn.Conv1d, 1), _WEIGHTS),
    aten.conv2d.default: Kind(_convolution(nn.Conv2d, 2), _WEIGHTS),
    aten.conv3d.default: Kind(_convolution(nn.Conv3d, 3), _WEIGHTS),
    aten.conv1d.padding: Kind(_convolution(nn.Conv1d, 1), _WEIGHTS),
    aten.conv2d.padding: Kind(_convolution(nn.Conv2d, 2), _WEIGHTS),
    aten.conv_transpose2d.input: Kind(_transposed, _WEIGHTS),
    aten.linear.default: Kind(_linear, _WEIGHTS),
    aten.batch_norm.default: Kind(_batch_norm, _STATISTICS),
    aten.layer_norm.default: Kind(_layer_norm, _SHIFTED),
    aten.group_norm.default: Kind(_group_norm, _SHIFTED),
    aten.rms_norm.default: Kind(_rms_norm, {2: "weight"}),
    aten.prelu.default: Kind(_prelu, {1: "weight"}),
}
"""Operation -> its layer, where all tensors are those of one module under their usual names."""


def _activation(call: Call) -> nn.Module | None:
    args, given = call.args[1:], call.kwargs
    if call.function in (aten.hardtanh.default, aten.hardtanh_.default):
        low, high = _at(args, 0, -1.0), _at(args, 1, 1.0)
        return nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high)
    if call.function is aten.gelu.default:
        return nn.GELU(given.get("approximate", "none"))
    simple = _ACTIVATIONS.get(call.function)
    return None if simple is None or given else simple(*args)


_ACTIVATIONS: dict[Any, Callable[..., nn.Module]] = {
    aten.relu.default: nn.ReLU,
    aten.relu6.default: nn.ReLU6,
    aten.relu_.default: nn.ReLU,
    aten.relu6_.default: nn.ReLU6,
    aten.silu.default: nn.SiLU,
    aten.silu_.default: nn.SiLU,
    aten.hardswish.default: nn.Hardswish,
    aten.hardswish_.default: nn.Hardswish,
    aten.hardsigmoid.default: nn.Hardsigmoid,
    aten.hardsigmoid_.default: nn.Hardsigmoid,
    aten.sigmoid.default: nn.Sigmoid,
    aten.tanh.default: nn.Tanh,
    aten.leaky_relu.default: nn.LeakyReLU,
    aten.leaky_relu_.default: nn.LeakyReLU,
    aten.elu.default: nn.ELU,
    aten.elu_.default: nn.ELU,
    aten.celu.default: nn.CELU,
    aten.selu.default: nn.SELU,
    aten.mish.default: nn.Mish,
}


def activation_of(node: fx.Node, call: Call) -> nn.Module | None:
    """Return the module of an activation function; None for other operations."""
    module = _activation(call)
    if module is not None and str(node.target).partition(".")[2].partition(".")[0].endswith("_"):
        module.inplace = True  # type: ignore[assignment]
    return module


_POOLS: dict[Any, Callable[..., nn.Module]] = {
    aten.max_pool2d.default: lambda size, stride=None, padding=0, dilation=1, ceil=False: nn.MaxPool2d(
        _size(size), _size(stride) or None, _size(padding), _size(dilation), ceil_mode=ceil
    ),
    aten.avg_pool2d.default: lambda size, stride=None, padding=0, ceil=False, counted=True, divisor=None: nn.AvgPool2d(
        _size(size), _size(stride) or None, _size(padding), ceil, counted, divisor
    ),
    aten.adaptive_avg_pool2d.default: lambda size: nn.AdaptiveAvgPool2d(_size(size)),
}


def pool_of(call: Call) -> nn.Module | None:
    """Return the module of a pooling; None for other operations."""
    make = _POOLS.get(call.function)
    return None if make is None or call.kwargs else make(*call.args[1:])


class DropPath(nn.Module):
    """Stochastic depth: in training a branch is left out for some examples, and scaled up for the others.

    Args:
        rate: Probability that the branch is left out.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return the branch [B, ...], zero for some examples."""
        if not self.training or not self.rate:
            return x
        kept = x.new_empty((len(x), *[1] * (x.dim() - 1))).bernoulli_(1 - self.rate)
        return x * kept.div_(1 - self.rate)

    def extra_repr(self) -> str:
        return str(self.rate)


class WithTraining(nn.Module):
    """An operation that has other arguments in training, such as an attention that drops some of its weights.

    Args:
        function: The operation.
        training: Position of an argument -> its value in training.
    """

    def __init__(self, function: Callable[..., Any], training: Mapping[int, Any]) -> None:
        super().__init__()
        self.function, self.values = function, dict(training)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the operation gives."""
        if self.training:
            args = tuple(self.values.get(place, one) for place, one in enumerate(args))
        return self.function(*args, **kwargs)


DROPOUT_LAYERS: dict[Any, Callable[[float], nn.Module]] = {
    aten.dropout.default: nn.Dropout,
    aten.dropout_.default: nn.Dropout,
    aten.feature_dropout.default: nn.Dropout2d,
    aten.alpha_dropout.default: nn.AlphaDropout,
}


def filled(layer: nn.Module, tensors: Tensors) -> nn.Module:
    """Return a layer, changed in place, that holds these tensors; its batches count as none."""
    for name, tensor in tensors.items():
        setattr(layer, name, tensor)
    if "bias" not in tensors and "bias" in layer._parameters:
        layer.register_parameter("bias", None)  # older norms cannot be made without
    if "num_batches_tracked" in layer._buffers and layer._buffers["num_batches_tracked"] is not None:
        device = next(iter(tensors.values())).device
        layer.num_batches_tracked = torch.zeros((), dtype=torch.long, device=device)
    return layer
