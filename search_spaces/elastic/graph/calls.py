"""Operations as functions of a list of registers, so that a forward pass is a loop without names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from search_spaces.elastic.graph.literals import Batch, Call, aten
from search_spaces.elastic.quantizer import Kept, Quantizer
from search_spaces.kernels.conv2d import conv2d

Registers = list[Any]
Run = Callable[[Registers], None]
Slots = Callable[[fx.Node], int]

BATCH_SLOT, DEVICE_SLOT, FIRST_SLOT = 0, 1, 2

FUNCTIONS: dict[Any, Callable[..., Any]] = {
    aten.conv1d.default: F.conv1d,
    aten.conv2d.default: F.conv2d,
    aten.conv3d.default: F.conv3d,
    aten.conv1d.padding: F.conv1d,
    aten.conv2d.padding: F.conv2d,
    aten.linear.default: F.linear,
    aten.batch_norm.default: torch.batch_norm,
    aten.layer_norm.default: torch.layer_norm,
    aten.group_norm.default: torch.group_norm,
    aten.relu.default: torch.relu,
    aten.relu_.default: torch.relu_,
    aten.sigmoid.default: torch.sigmoid,
    aten.tanh.default: torch.tanh,
    aten.gelu.default: F.gelu,
    aten.silu.default: torch._C._nn.silu,
    aten.silu_.default: torch._C._nn.silu_,
    aten.hardswish.default: torch._C._nn.hardswish,
    aten.hardswish_.default: torch._C._nn.hardswish_,
    aten.hardsigmoid.default: torch._C._nn.hardsigmoid,
    aten.hardtanh.default: torch._C._nn.hardtanh,
    aten.hardtanh_.default: torch._C._nn.hardtanh_,
    aten.leaky_relu.default: torch._C._nn.leaky_relu,
    aten.add.Tensor: torch.add,
    aten.add_.Tensor: Tensor.add_,
    aten.mul.Tensor: torch.mul,
    aten.mul_.Tensor: Tensor.mul_,
    aten.sub.Tensor: torch.sub,
    aten.matmul.default: torch.matmul,
    aten.softmax.int: torch.softmax,
    aten.cat.default: torch.cat,
    aten.view.default: torch.reshape,  # what was contiguous in the trace need not be so in training
    aten.reshape.default: torch.reshape,
    aten.permute.default: torch.permute,
    aten.transpose.int: torch.transpose,
    aten.flatten.using_ints: torch.flatten,
    aten.expand.default: Tensor.expand,
    aten.unsqueeze.default: torch.unsqueeze,
    aten.unbind.int: torch.unbind,
    aten.select.int: torch.select,
    aten.mean.dim: torch.mean,
    aten.max_pool2d.default: torch.max_pool2d,
    aten.avg_pool2d.default: F.avg_pool2d,
    aten.adaptive_avg_pool2d.default: torch._C._nn.adaptive_avg_pool2d,
    aten.scaled_dot_product_attention.default: F.scaled_dot_product_attention,
}
"""Operation -> the function of torch that does it and takes the same arguments; it is called faster, and what watches
functions of torch sees it."""
_IN_A_SUPERNET: dict[Any, Callable[..., Any]] = dict.fromkeys((aten.conv2d.default, aten.conv2d.padding), conv2d)
"""What is computed in other ways while settings change; extracted networks are plain."""


def function_of(target: Any) -> Callable[..., Any]:
    """Return the function that an operation is called by."""
    return FUNCTIONS.get(target, target)


@dataclass(frozen=True)
class Region:
    """A region of the graph with a precision of its own.

    Args:
        device: Kind of device that it is for. Networks are traced on the processor: `cpu` stands for any.
        dtype: Type of the numbers where autocast is on; None for the usual one.
        enabled: Whether autocast is on.
    """

    device: str
    dtype: torch.dtype | None
    enabled: bool


class InRegion:
    """A function, or a layer, that runs in the precision of its region whatever is set around the network.

    Where the region switches autocast off, numbers of 16 bits become those of 32.

    Args:
        function: The function.
        region: The region.
    """

    def __init__(self, function: Callable[..., Any], region: Region) -> None:
        self.function, self.region = function, region
        self.__name__ = getattr(function, "__name__", "function") + "_in_own_precision"
        self.__module__ = __name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the function gives."""
        device, region = next((one.device.type for one in args if isinstance(one, Tensor)), "cpu"), self.region
        is_as_around = not region.enabled and not torch.is_autocast_enabled(device)
        if is_as_around or region.device not in ("cpu", device):
            return self.function(*args, **kwargs)
        with torch.autocast(device, dtype=region.dtype if region.enabled else None, enabled=region.enabled):
            return self.function(*(args if region.enabled else map(_wide, args)), **kwargs)


def run_in_region(layer: nn.Module, x: Tensor, device: str, dtype: torch.dtype | None, enabled: bool) -> Any:
    """Return what a layer makes of its input in the precision of its region."""
    return InRegion(layer, Region(device, dtype, enabled))(x)


def _wide(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_wide(one) for one in value]
    narrow = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if narrow else value


class Rounded:
    """A function of inputs and a weight that rounds both first.

    Args:
        function: The function.
        quantizer: Rounds them.
        whole: Gives the weight of all channels.
        kept: Picks the numbers of the active output channels.
    """

    def __init__(
        self, function: Callable[..., Any], quantizer: Quantizer, whole: Callable[[], Tensor], kept: Kept
    ) -> None:
        self.function = _IN_A_SUPERNET.get(function) or function_of(function)
        self.quantizer, self.whole, self.kept = quantizer, whole, kept

    def __call__(self, x: Tensor, weight: Tensor, *rest: Any, **kwargs: Any) -> Any:
        """Return what the function gives."""
        return self.function(*self.quantizer(x, weight, self.whole, self.kept), *rest, **kwargs)


def region_of(node: fx.Node) -> Region | None:
    """Return the region of own precision that a node lies in; None where there is none."""
    region = node.meta.get("autocast")
    return None if region is None else Region(*region)


def compiled(call: Call, out: int, slots: Slots) -> Run:
    """Return an operation as a function of the registers.

    Args:
        call: The operation.
        out: Register of its result.
        slots: Register of a node.
    """
    function = _IN_A_SUPERNET.get(call.function) or function_of(call.function)
    if call.crop:
        function = _cropping(function, call.crop)
    readers = [(place, _reader(value, slots)) for place, value in enumerate(call.args)]
    loads = [(place, reader) for place, reader in readers if reader is not None]
    simple = [(place, slots(call.args[place])) for place, _ in loads if isinstance(call.args[place], fx.Node)]
    named = {name: _reader(value, slots) for name, value in call.kwargs.items()}
    if any(reader is not None for reader in named.values()) or len(simple) < len(loads):
        return _general(function, call, out, (loads, named))
    return _plain(function, call, out, simple)


def _plain(function: Callable[..., Any], call: Call, out: int, loads: list[tuple[int, int]]) -> Run:
    """Return an operation whose nodes stand directly among its arguments."""
    kwargs, template = call.kwargs, list(call.args)
    if [place for place, _ in loads] == [0]:
        ((_, only),), rest = loads, tuple(call.args[1:])
        if not rest and not kwargs:

            def run_alone(r: Registers) -> None:
                r[out] = function(r[only])

            return run_alone

        def run_one(r: Registers) -> None:
            r[out] = function(r[only], *rest, **kwargs)

        return run_one

    def run(r: Registers) -> None:
        given = template.copy()
        for place, slot in loads:
            given[place] = r[slot]
        r[out] = function(*given, **kwargs)

    return run


def _general(function: Callable[..., Any], call: Call, out: int, readers: tuple[list[Any], dict[str, Any]]) -> Run:
    """Return an operation with nodes inside lists, sizes that follow the batch, or a device."""
    template, (loads, named) = list(call.args), readers
    changing = {name: reader for name, reader in named.items() if reader is not None}
    fixed = {name: value for name, value in call.kwargs.items() if name not in changing}

    def run(r: Registers) -> None:
        given = template.copy()
        for place, read in loads:
            given[place] = read(r)
        r[out] = function(*given, **fixed, **{name: read(r) for name, read in changing.items()})

    return run


def _cropping(function: Callable[..., Any], crop: tuple[int, ...]) -> Callable[..., Any]:
    """Return a function that cuts pixels off its first input."""

    def cropped(x: Tensor, *rest: Any, **kwargs: Any) -> Any:
        for place, amount in enumerate(crop):
            dimension = x.dim() - len(crop) + place
            x = x.narrow(dimension, amount, x.shape[dimension] - 2 * amount)
        return function(x, *rest, **kwargs)

    return cropped


def _reader(value: Any, slots: Slots) -> Callable[[Registers], Any] | None:
    """Return what reads an argument at run time; None where it is the same in every run."""
    if isinstance(value, fx.Node):
        slot = slots(value)
        return lambda r: r[slot]
    if isinstance(value, Batch):
        factor = value.factor
        return lambda r: r[BATCH_SLOT] * factor
    if isinstance(value, torch.device):
        return lambda r: r[DEVICE_SLOT]
    if not isinstance(value, list | tuple):
        return None
    parts = [(one, _reader(one, slots)) for one in value]
    if all(reader is None for _, reader in parts):
        return None
    return lambda r: [one if reader is None else reader(r) for one, reader in parts]


def result(value: Any, slots: Slots) -> Callable[[Registers], Any]:
    """Return what reads the output of the network from the registers."""
    if isinstance(value, dict):
        parts = {name: result(one, slots) for name, one in value.items()}
        return lambda r: {name: read(r) for name, read in parts.items()}
    if isinstance(value, list | tuple):
        reads = [result(one, slots) for one in value]
        return lambda r: like(value, [read(r) for read in reads])
    reader = _reader(value, slots)
    return reader if reader is not None else lambda r: value


def like(value: Any, items: list[Any]) -> Any:
    """Return items as a list or tuple, as a value is one."""
    if isinstance(value, list):
        return items
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
