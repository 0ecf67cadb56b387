"""Convolutions for which new shapes cost nothing on CUDA: depthwise ones in Triton, 1x1 ones as matrix products.

cuDNN compiles channels-last depthwise convolutions anew for every shape, which takes 0.1 to 3 seconds, and plans 1x1
convolutions anew. An elastic network meets new shapes at every step. Everything else, and everything on a CPU, is
computed by `torch.nn.functional.conv2d`, and so are convolutions that are compiled, exported or differentiated by
`torch.func`.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.forwards import run_instead

Amount = int | Sequence[int]
_TYPES = (torch.float32, torch.bfloat16, torch.float16)
_MOST_NUMBERS = 2**31 - 2**12
"""Programs count pixels and taps in 32 bits; places in memory in 64."""
_in_use = True


def set_own_kernels(in_use: bool) -> None:
    """Say whether this process uses kernels of its own at all; it does by default."""
    global _in_use  # noqa: PLW0603 - like the flags of torch.backends
    _in_use = in_use


@contextmanager
def own_kernels(in_use: bool) -> Iterator[None]:
    """Use kernels of our own, or none, for a while."""
    before = _in_use
    set_own_kernels(in_use and before)
    try:
        yield
    finally:
        set_own_kernels(before)


def conv2d(  # noqa: PLR0917 - the arguments of torch.nn.functional.conv2d
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Amount = 1,
    padding: Amount | str = 0,
    dilation: Amount = 1,
    groups: int = 1,
) -> Tensor:
    """Return what `torch.nn.functional.conv2d` returns of the same arguments, in another way where that is faster."""
    if _in_use and x.is_cuda and _is_ordinary(x) and _single(dilation) == 1:
        step, border = _single(stride), _single(padding)
        if groups == 1 and weight.shape[2:] == (1, 1) and (step, border) == (1, 0):
            return _pointwise(x, weight, bias)
        if groups == x.shape[1] and step is not None and border is not None and _is_depthwise(x, weight, step, border):
            x = _as_autocast(x)
            if _fits(x, weight, bias) and _runs(x.device, x.dtype):
                return _depthwise(x, weight, bias, step, border)
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


@contextmanager
def kernels_in(network: nn.Module) -> Iterator[None]:
    """Let the plain convolutions of a network on CUDA be computed by `conv2d` for a while, e.g. while it is judged."""
    with ExitStack() as stack:
        for module in network.modules() if _in_use else ():
            if type(module) is nn.Conv2d and module.weight.is_cuda and module.padding_mode == "zeros":
                stack.callback(run_instead(module, partial(_forward, module)))
        yield


def _forward(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _single(amount: Amount | str) -> int | None:
    """Return the amount that is the same in both directions; None for another, or for a word."""
    if isinstance(amount, int):
        return amount
    return amount[0] if not isinstance(amount, str) and len(set(amount)) == 1 else None


def _is_ordinary(x: Tensor) -> bool:
    """Return whether images are computed here and now, and channels-last in memory."""
    return (
        x.dim() == 4
        and x.dtype in _TYPES
        and x.is_contiguous(memory_format=torch.channels_last)
        and x.numel() > 0
        and type(x) in (Tensor, nn.Parameter)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
    )


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def _depthwise(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    from search_spaces.kernels.depthwise import depthwise_conv2d

    with torch.cuda.device(x.device):
        return depthwise_conv2d(x, weight, bias, stride, padding)


def _is_depthwise(x: Tensor, weight: Tensor, stride: int, padding: int) -> bool:
    """Return whether the programs can compute this: a square kernel of odd size for each channel, some output."""
    kernel, columns = weight.shape[2:]
    return (
        weight.shape[:2] == (x.shape[1], 1)
        and kernel == columns
        and kernel % 2 == 1
        and stride in (1, 2)
        and min(x.shape[2:]) + 2 * padding >= kernel
        and x.shape[0] * (x.shape[2] + 2 * padding) * (x.shape[3] + 2 * padding) < _MOST_NUMBERS
    )


def _as_autocast(x: Tensor) -> Tensor:
    """Return images in the type of autocast, if any; weights are read as they are and lose nothing."""
    return x.to(torch.get_autocast_dtype("cuda")) if torch.is_autocast_enabled("cuda") else x


def _fits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Return whether the types go together as `torch.nn.functional.conv2d` wants it."""
    if torch.is_autocast_enabled("cuda"):
        return x.dtype in _TYPES and weight.dtype in _TYPES and (bias is None or bias.dtype in _TYPES)
    return weight.dtype == x.dtype and (bias is None or bias.dtype == x.dtype)


@cache
def _runs(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether Triton is there and can compile for this device; a line in the log says why not."""
    try:
        from search_spaces.kernels.block_sizes import PIXELWISE
        from search_spaces.kernels.depthwise import Depthwise  # needs Triton

        with torch.cuda.device(device), torch.no_grad():
            x = torch.zeros((1, 8, 4, 4), dtype=dtype, device=device).to(memory_format=torch.channels_last)
            Depthwise(x, torch.zeros((8, 1, 3, 3), device=device), 1, 1).output(None, PIXELWISE[0])
    except Exception as error:  # whatever a compiler, a driver or an old version says
        logging.getLogger(__name__).warning(
            "depthwise convolutions are left to cuDNN, which compiles them for every shape; Triton cannot run: %s",
            str(error).partition("\n")[0] or type(error).__name__,
        )
        return False
    return True
