"""Depthwise convolutions of many shapes, forward and both gradients, compared with float64.

As a program it prints the largest errors of each group of cases as JSON; with `TRITON_INTERPRET=1` it needs no GPU.
"""

import json
import random
import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.kernels.depthwise import depthwise_conv2d

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ROUNDING = {"float32": 2**-24, "bfloat16": 2**-9, "float16": 2**-12}
"""Half of the distance between two numbers around 1."""


@dataclass(frozen=True, kw_only=True)
class Case:
    kernel: int
    stride: int = 1
    batch: int = 1
    channels: int = 3
    height: int = 5
    width: int = 4
    dtype: str = "float32"
    master: bool = False
    bias: bool = False
    sliced: bool = False
    seed: int = 0


def named() -> list[Case]:
    """Kernels 3, 5 and 7 with both strides, odd sizes, one image, channels beside and beyond a block; other kernels."""
    grid = [
        Case(kernel=kernel, stride=stride, dtype=dtype, channels=channels, height=height, width=width, master=True)
        for kernel in (3, 5, 7)
        for stride in (1, 2)
        for dtype, channels, height, width in (("float32", 35, 3, 3), ("bfloat16", 8, 5, 4), ("float16", 5, 4, 7))
    ]
    return [
        *grid,
        Case(kernel=1),
        Case(kernel=9, height=6),
        Case(kernel=11, stride=2),
        Case(kernel=3, height=1, width=1),
    ]


def drawn(count: int, seed: int = 0) -> list[Case]:
    """Random cases, tiny enough for the interpreter."""
    dice = random.Random(seed)
    return [
        Case(
            kernel=dice.choice((3, 3, 3, 5, 5, 7)),
            stride=dice.choice((1, 2)),
            batch=dice.choice((1, 1, 1, 2)),
            channels=dice.choice((1, 2, 3, 7, 8, 12, 16, 24, 33)),
            height=dice.randint(1, 5),
            width=dice.randint(1, 5),
            dtype=dice.choice(tuple(TYPES)),
            master=dice.random() < 0.5,
            bias=dice.random() < 0.3,
            sliced=dice.random() < 0.3,
            seed=number,
        )
        for number in range(count)
    ]


def error(case: Case, device: torch.device) -> float:
    """Return the largest error of output and gradients, in roundings of the largest number that an exact one has.

    Errors of sums are measured against the sum of the magnitudes of their terms.
    """
    torch.manual_seed(case.seed)
    kind = TYPES[case.dtype]
    weights = torch.float32 if case.master else kind
    x = torch.randn(case.batch, case.channels, case.height, case.width).to(kind)
    extra = (3, 2) if case.sliced else (0, 0)
    whole = torch.randn(case.channels + extra[0], 1, case.kernel + extra[1], case.kernel + extra[1]).to(weights)
    bias = torch.randn(case.channels).to(weights) if case.bias else None
    x = x.to(device).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = whole.to(device)[: case.channels, :, : case.kernel, : case.kernel].detach().requires_grad_()
    bias = None if bias is None else bias.to(device).requires_grad_()
    inputs = [one for one in (x, weight, bias) if one is not None]
    y = depthwise_conv2d(x, weight, bias, case.stride, case.kernel // 2)
    slope = torch.randn(y.shape).to(device, kind)
    ours = [y, *torch.autograd.grad(y, inputs, slope)]
    assert y.is_contiguous(memory_format=torch.channels_last)
    exact = _double(inputs, slope, case, absolute=False)
    scale = _double(inputs, slope, case, absolute=True)
    worst = 0.0
    for one, wanted, most in zip(ours, exact, scale):
        assert one.shape == wanted.shape
        away = (one.detach().double() - wanted).abs().max() / most.abs().max()
        worst = max(worst, float(away) / ROUNDING[str(one.dtype).removeprefix("torch.")])
    return worst


def _double(inputs: list[Tensor], slope: Tensor, case: Case, *, absolute: bool) -> list[Tensor]:
    """Return output and gradients in float64, of the same numbers or of their magnitudes."""
    copies = [(one.abs() if absolute else one).detach().double().requires_grad_() for one in inputs]
    slope = (slope.abs() if absolute else slope).double()
    y = F.conv2d(
        copies[0], copies[1], copies[2] if case.bias else None, case.stride, case.kernel // 2, groups=case.channels
    )
    return [y.detach(), *torch.autograd.grad(y, copies, slope)]


def worst_errors(device: torch.device, random_cases: int) -> dict[str, float]:
    """Return the largest error of the named and of the random cases."""
    return {
        "named": max(error(case, device) for case in named()),
        "drawn": max(error(case, device) for case in drawn(random_cases)),
    }


def same_with_all_blocks(device: torch.device) -> bool:
    """Return whether all blocks that may be chosen give the same numbers, bit for bit."""
    from search_spaces.kernels.block_sizes import PIXELWISE, SUMMED
    from search_spaces.kernels.depthwise import Depthwise

    torch.manual_seed(0)
    x = torch.randn(2, 35, 5, 5, device=device).contiguous(memory_format=torch.channels_last)
    one = Depthwise(x, torch.randn(35, 1, 3, 3, device=device), 1, 1)
    slope = torch.randn_like(x)
    results = [[one.output(None, blocks), one.input_gradient(slope, blocks)] for blocks in PIXELWISE]
    sums = [one.weight_gradient(slope, blocks) for blocks in SUMMED]
    return all(torch.equal(a, b) for other in results for a, b in zip(other, results[0])) and all(
        torch.equal(one, sums[0]) for one in sums
    )


if __name__ == "__main__":
    cpu = torch.device("cpu")
    print(json.dumps({**worst_errors(cpu, int(sys.argv[1])), "same": same_with_all_blocks(cpu)}))
