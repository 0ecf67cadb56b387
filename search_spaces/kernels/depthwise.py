"""The depthwise convolution of channels-last images, differentiable, by the programs of `programs`."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from search_spaces.kernels import programs
from search_spaces.kernels.block_sizes import PIXELWISE, SUMMED, Blocks, best_blocks

_MOST_TAPS = 64
_MOST_SHARES, _LEAST_SHARE, _CHANNELS_OF_A_SHARE = 2048, 16, 64
"""The gradient of the weight is summed in shares of the pixels: enough of them to keep any device busy. Their number
follows from the shape alone, so that sums come out the same on every device and with all blocks."""
_EXAMPLE = (64, 128, 28, 28)
"""Images that blocks are timed with: those of a typical layer in the middle of a network."""


def depthwise_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Return the convolution of every channel of images with a kernel of its own.

    Args:
        x: Images [B, C, H, W], channels-last in memory; float32, bfloat16 or float16.
        weight: Kernels [C, 1, K, K] with any strides; their type may differ from that of the images.
        bias: What is added to each channel [C].
        stride: 1 or 2.
        padding: Zeros on each side.

    Returns:
        Images [B, C, H', W'] of the type of `x`, channels-last. Products are summed in float32.
    """
    return _Depthwise.apply(x, weight, bias, stride, padding)


class _Depthwise(torch.autograd.Function):
    """`depthwise_conv2d` for autograd; gradients that are differentiated again are those of the native convolution."""

    @staticmethod
    def forward(  # noqa: PLR0917 - the interface of autograd
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding  # type: ignore[attr-defined]
        ctx.bias_type = None if bias is None else bias.dtype  # type: ignore[attr-defined]
        return Depthwise(x, weight, stride, padding).output(bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _native_gradients(ctx, gradient, x, weight)
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        through = Depthwise(x, weight, ctx.stride, ctx.padding)
        return (
            through.input_gradient(gradient) if ctx.needs_input_grad[0] else None,
            through.weight_gradient(gradient) if ctx.needs_input_grad[1] else None,
            gradient.sum((0, 2, 3), dtype=torch.float32).to(ctx.bias_type) if ctx.needs_input_grad[2] else None,
            None,
            None,
        )


def _native_gradients(ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor | None, ...]:
    """Return gradients that can be differentiated again."""
    stride, padding, channels = [ctx.stride] * 2, [ctx.padding] * 2, x.shape[1]
    wanted = list(ctx.needs_input_grad[:3])
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight.to(x.dtype), [channels], stride, padding, [1, 1], False, [0, 0], channels, wanted
    )
    types = (x.dtype, weight.dtype, ctx.bias_type)
    return (*(one.to(kind) if want else None for one, kind, want in zip(found, types, wanted)), None, None)


class Depthwise:
    """One depthwise convolution, whose three results are each computed by a program over a grid of blocks.

    Each result takes the blocks that the device is fastest with, unless some are given.
    """

    def __init__(self, x: Tensor, weight: Tensor, stride: int, padding: int) -> None:
        self.x, self.weight, self.stride = x, weight, stride
        self.batch, self.channels, height, width = x.shape
        self.kernel = weight.shape[-1]
        self.out_height, self.out_width = ((size + 2 * padding - self.kernel) // stride + 1 for size in (height, width))
        self.vector = 8 if self.channels % 8 == 0 else 1
        self.image = (self.channels // self.vector, height, width, self.out_height, self.out_width, padding)
        channel, _, row, column = weight.stride()
        self.weight_strides = (channel, row, column)
        self.pixels = self.batch * self.out_height * self.out_width

    def output(self, bias: Tensor | None, blocks: Blocks | None = None) -> Tensor:
        """Return the output [B, C, H', W']."""
        blocks = blocks or self._best_blocks("output")
        shape, kind = (self.batch, self.channels, self.out_height, self.out_width), self.x.dtype
        y = torch.empty(shape, dtype=kind, device=self.x.device, memory_format=torch.channels_last)
        programs.output[self._grid(self.pixels, blocks)](
            self.x,
            self.weight,
            self.weight if bias is None else bias,
            y,
            *self.weight_strides,
            *self.image,
            self.pixels,
            HAS_BIAS=bias is not None,
            BLOCK_PIXELS=blocks.pixels,
            **self._compiled(blocks),
        )
        return y

    def input_gradient(self, gradient: Tensor, blocks: Blocks | None = None) -> Tensor:
        """Return the gradient of the input [B, C, H, W] from that of the output, which is channels-last."""
        blocks = blocks or self._best_blocks("input_gradient")
        out = torch.empty_like(self.x, memory_format=torch.channels_last)
        rows, columns = (-(-size // self.stride) for size in self.x.shape[2:])
        pixels = self.batch * rows * columns
        programs.input_gradient[(*self._grid(pixels, blocks), self.stride**2)](
            gradient,
            self.weight,
            out,
            *self.weight_strides,
            *self.image,
            pixels,
            BLOCK_PIXELS=blocks.pixels,
            **self._compiled(blocks),
        )
        return out

    def weight_gradient(self, gradient: Tensor, blocks: Blocks | None = None) -> Tensor:
        """Return the gradient of the weight [C, 1, K, K] from that of the output, which is channels-last."""
        blocks = blocks or self._best_blocks("weight_gradient")
        taps = self.kernel**2
        most = max(1, _MOST_SHARES // -(-self.channels // _CHANNELS_OF_A_SHARE))
        share = max(_LEAST_SHARE, -(-self.pixels // most))
        shares = -(-self.pixels // share)
        parts = self.x.new_empty((shares, taps, self.channels), dtype=torch.float32)
        block_taps = min(_MOST_TAPS, 1 << (taps - 1).bit_length())
        programs.weight_gradient[(shares, -(-self.channels // blocks.channels), -(-taps // block_taps))](
            self.x,
            gradient,
            parts,
            *self.image,
            self.pixels,
            share,
            BLOCK_TAPS=block_taps,
            TOGETHER=blocks.pixels,
            **self._compiled(blocks),
        )
        return parts.sum(0).t().reshape(self.weight.shape).to(self.weight.dtype)

    def _grid(self, pixels: int, blocks: Blocks) -> tuple[int, int]:
        return -(-pixels // blocks.pixels), -(-self.channels // blocks.channels)

    def _compiled(self, blocks: Blocks) -> dict[str, Any]:
        """Return what all programs are compiled for; Triton's default for the fusion of products and sums changes."""
        return {
            "KERNEL": self.kernel,
            "STRIDE": self.stride,
            "VECTOR": self.vector,
            "BLOCK_CHANNELS": blocks.channels,
            "num_warps": blocks.warps,
            "enable_fp_fusion": True,
        }

    def _best_blocks(self, result: str) -> Blocks:
        return _best_blocks(result, self.kernel, self.stride, (self.x.dtype, self.weight.dtype), self.x.device)


def _best_blocks(
    result: str, kernel: int, stride: int, types: tuple[torch.dtype, torch.dtype], device: torch.device
) -> Blocks:
    """Return the blocks for a result of every convolution of this kind; they are timed with an example."""
    candidates = SUMMED if result == "weight_gradient" else PIXELWISE
    name = f"{result} kernel {kernel} stride {stride} {types[0]} {types[1]}".replace("torch.", "")

    @cache
    def example() -> tuple[Depthwise, Tensor]:
        x = torch.zeros(_EXAMPLE, dtype=types[0], device=device).to(memory_format=torch.channels_last)
        weight = torch.zeros((_EXAMPLE[1], 1, kernel, kernel), dtype=types[1], device=device)
        one = Depthwise(x, weight, stride, kernel // 2)
        return one, one.output(None, PIXELWISE[0])

    def run(blocks: Blocks) -> None:
        one, like_output = example()
        if result == "output":
            one.output(None, blocks)
        elif result == "input_gradient":
            one.input_gradient(like_output, blocks)
        else:
            one.weight_gradient(like_output, blocks)

    return best_blocks(name, candidates, device, run)
