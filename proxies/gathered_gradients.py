"""Weight gradients of every sample, of whole layers and of layers alike at once.

The gradient of a convolution for one sample is one matrix product, between its output gradient and all patches of its
input. Layers of one shape are stacked, so that a network of a hundred layers takes a few dozen operations: on a GPU,
small networks wait for their kernels to start. `proxies.sample_gradients` computes the same, with less memory and in
smaller pieces, for large layers and for the CPU.
"""

from collections.abc import Iterator, Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from proxies.recording import WeightCall

GATHERED_NUMBERS = 2**21  # numbers a sample that patches or gradients of layers together may have: 8 MiB

Use = tuple[WeightCall, Tensor]
"""A use of a weight, and the gradient with respect to its output."""


def is_small(use: Use) -> bool:
    """Return whether a use is of a kind that is handled here, and its patches and gradients are within the limit."""
    call, gradient = use
    if call.is_convolution and call.input.dim() != 4:
        return False
    return len(call.input) == len(gradient) and _numbers(use) <= GATHERED_NUMBERS


def alike(uses: Sequence[Use]) -> Iterator[list[Use]]:
    """Yield uses of the same shapes together, as many as the limit allows."""
    groups: dict[tuple[object, ...], list[Use]] = {}
    for use in uses:
        groups.setdefault(_kind(use), []).append(use)
    for group in groups.values():
        most = max(1, GATHERED_NUMBERS // _numbers(group[0]))
        for start in range(0, len(group), most):
            yield group[start : start + most]


def weight_gradients(uses: Sequence[Use]) -> Tensor:
    """Return gradients of each sample with respect to the weights of uses that are alike [uses, n, p].

    Weights stand in their own order, p of them in each.
    """
    call = uses[0][0]
    n = len(call.input)
    inputs = torch.cat([use[0].input for use in uses])
    gradients = torch.cat([use[1] for use in uses])
    if call.is_convolution:
        products = _of_convolutions(call, inputs, gradients)
    else:
        outputs, features = call.weight.shape
        products = torch.bmm(gradients.reshape(len(inputs), -1, outputs).mT, inputs.reshape(len(inputs), -1, features))
    return products.reshape(len(uses), n, -1)


def _of_convolutions(call: WeightCall, x: Tensor, gradient: Tensor) -> Tensor:
    """Return the products [samples times groups, outputs, inputs times taps]."""
    rows, groups = len(x), call.groups
    patches = _patches(call, x, gradient.shape[2:]).reshape(rows * groups, -1, prod(gradient.shape[2:]))
    return torch.bmm(gradient.reshape(rows * groups, -1, patches.shape[2]), patches.mT)


def _patches(call: WeightCall, x: Tensor, positions: Sequence[int]) -> Tensor:
    """Return what every tap of the kernel reads at every output position [rows, channels, kernel, kernel, H, W].

    It is a view of the padded input; `unfold` of torch starts one kernel for each sample.
    """
    if any(call.padding):
        x = F.pad(x, [p for pad in reversed(call.padding) for p in (pad, pad)])
    batch, channel, *sides = x.stride()
    taps = [side * dilation for side, dilation in zip(sides, call.dilation)]
    steps = [side * stride for side, stride in zip(sides, call.stride)]
    shape = (*x.shape[:2], *call.weight.shape[2:], *positions)
    return x.as_strided(shape, (batch, channel, *taps, *steps), x.storage_offset())


def _kind(use: Use) -> tuple[object, ...]:
    call, gradient = use
    geometry = call.stride, call.padding, call.dilation, call.groups
    return call.weight.shape, call.input.shape, gradient.shape, gradient.dtype, *geometry


def _numbers(use: Use) -> int:
    """Return how many numbers a sample the larger of patches and gradients has."""
    call, gradient = use
    patches = call.input[0].numel()
    if call.is_convolution:
        patches = call.input.shape[1] * prod(call.weight.shape[2:]) * prod(gradient.shape[2:])
    return max(patches, call.weight.numel())
