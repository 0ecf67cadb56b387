"""Watching a forward pass: which weights were used on what, and which activations are on.

Functions are watched instead of modules, so a module that is used twice counts twice, and a functional ReLU or a
convolution with padding of its own is seen like any other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from proxies.scores import ScoreError

CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
RELUS = (F.relu, F.relu6, F.leaky_relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_, F.relu_)
_SMOOTH = (F.hardswish, F.silu, F.gelu, F.elu, F.mish, F.celu, F.selu)
_ACTIVATIONS = frozenset((*RELUS, *_SMOOTH))
CONVOLUTION_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
Alone = Callable[[Tensor, Tensor | None, Tensor | None, float], Tensor]
_STATISTICS = ("running_mean", "running_var")
_SETTINGS = ("training", "momentum", "eps", "cudnn_enabled")
BATCH_NORMS: dict[Callable[..., Any], tuple[str, ...]] = {
    F.batch_norm: ("input", *_STATISTICS, "weight", "bias", *_SETTINGS[:3]),
    torch.batch_norm: ("input", "weight", "bias", *_STATISTICS, *_SETTINGS),
}


@dataclass(frozen=True)
class WeightCall:
    """One use of the weight of a convolution or linear layer.

    Attributes:
        layer: Name of the module that owns the weight.
        weight: The weight.
        input: [B, C, H, W], or [B, ..., features] of a linear layer.
        output: As computed, outside of the graph.
        edge: Edge of the graph that the output hangs on, to differentiate with respect to it; None outside of any
            graph.
        stride, padding, dilation: Two numbers each; empty for a linear layer.
        groups: Groups of a convolution.
        version: How often the output had been changed in place when it was recorded.
        alive: The output in its graph. An edge alone does not keep its node alive before torch 2.9: a layer whose
            output nobody reads would lead to freed memory.
    """

    layer: str
    weight: Tensor
    input: Tensor
    output: Tensor
    edge: GradientEdge | None
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    version: int = 0
    alive: Tensor | None = None

    @property
    def is_convolution(self) -> bool:
        return bool(self.stride)


class Recording(TorchFunctionMode):
    """While active, keeps the calls of known weights and the signs of what activations read.

    Args:
        layers: Name of the owner of each weight, by identity of the weight.
        alone: How batch norm in training mode normalises every sample by its own statistics, as if it were the only
            one of its batch; None: by those of the batch.
        signs: Whether the signs of what activations read are kept.
    """

    def __init__(self, layers: Mapping[int, str], *, alone: Alone | None = None, signs: bool = False) -> None:
        super().__init__()
        self.layers, self.alone, self.signs = layers, alone, signs
        self.calls: list[WeightCall] = []
        self._outputs: dict[int, tuple[int, Tensor]] = {}  # identity -> index of the call, and what keeps it alive
        self.foreign: list[str] = []
        self.relus: list[Tensor] = []
        self.smooth: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.signs and (func in _ACTIVATIONS or is_relu6(func, kwargs)):
            kept = self.smooth if func in _SMOOTH else self.relus
            kept.append((args[0].detach() > 0).movedim(1, -1).flatten(1))
        if args and id(args[0]) in self._outputs and _changes_in_place(func, kwargs):
            self._save(*self._outputs.pop(id(args[0])))
        if self.alone is not None and func in BATCH_NORMS:
            return _normalised_alone(self.alone, func, {**dict(zip(BATCH_NORMS[func], args)), **kwargs})
        out = func(*args, **kwargs)
        if func in CONVOLUTIONS:
            self._convolution(out, {**dict(zip(CONVOLUTION_ARGUMENTS, args)), **kwargs})
        elif func is F.linear:
            self._linear(out, {**dict(zip(("input", "weight", "bias"), args)), **kwargs})
        return out

    def _convolution(self, out: Tensor, call: Mapping[str, Any]) -> None:
        layer = self._owner(call["weight"])
        if layer is None:
            return
        sides = call["weight"].dim() - 2
        dilation = each_side(call.get("dilation", 1), sides)
        padding = call.get("padding", 0)
        if padding == "valid":
            padding = 0
        elif padding == "same":
            total = [d * (k - 1) for d, k in zip(dilation, call["weight"].shape[2:])]
            if any(t % 2 for t in total):
                raise ScoreError(f"{layer}: 'same' padding of an even kernel is not symmetric, which is not handled")
            padding = tuple(t // 2 for t in total)
        self._keep(
            WeightCall(
                layer=layer,
                weight=call["weight"],
                input=call["input"].detach(),
                output=out.detach(),
                edge=_edge(out),
                stride=each_side(call.get("stride", 1), sides),
                padding=each_side(padding, sides),
                dilation=dilation,
                groups=call.get("groups", 1),
                version=out._version,
                alive=out,
            ),
            out,
        )

    def _linear(self, out: Tensor, call: Mapping[str, Any]) -> None:
        layer = self._owner(call["weight"])
        if layer is not None:
            x = call["input"].detach()
            found = WeightCall(layer, call["weight"], x, out.detach(), _edge(out), version=out._version, alive=out)
            self._keep(found, out)

    def _keep(self, call: WeightCall, out: Tensor) -> None:
        self._outputs[id(out)] = (len(self.calls), out)
        self.calls.append(call)

    def _save(self, index: int, out: Tensor) -> None:
        """Keep what a layer gave, before an operation that follows writes over it."""
        self.calls[index] = replace(self.calls[index], output=out.detach().clone(), version=0)

    def _owner(self, weight: Tensor) -> str | None:
        layer = self.layers.get(id(weight))
        if layer is None and weight.requires_grad and not weight.is_leaf:
            self.foreign.append(str(tuple(weight.shape)))
        return layer


def is_relu6(func: Callable[..., Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether this is what `nn.ReLU6` calls: a hard tanh from 0 upward, passed on with all options by name."""
    return func is F.hardtanh and kwargs.get("min_val") == 0


def each_side(value: Any, sides: int) -> tuple[int, ...]:
    """Return a setting of a convolution for each of its sides."""
    return (value,) * sides if isinstance(value, int) else tuple(value)


def _edge(out: Tensor) -> GradientEdge | None:
    return get_gradient_edge(out) if out.requires_grad else None


def _changes_in_place(func: Callable[..., Any], kwargs: Mapping[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    return bool(kwargs.get("inplace")) or (name.endswith("_") and not name.endswith("__")) or name == "__setitem__"


def _normalised_alone(alone: Alone, func: Callable[..., Any], call: dict[str, Any]) -> Tensor:
    """Return the batch norm of each sample by itself."""
    if not call.get("training", False):
        return func(**call)
    x = call["input"]
    if x[0, 0].numel() == 1:
        raise ScoreError("batch norm of a single sample needs more than one value per channel, here there is one")
    return alone(x, call.get("weight"), call.get("bias"), call.get("eps", 1e-5))
