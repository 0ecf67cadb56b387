"""Weight gradients of every sample of a batch, from layer inputs and output gradients.

The gradient of a k x k convolution for one sample is k x k matrix products between its output gradient and shifted
views of its input. Laid out as [positions, channels] with the padding inside, a shift is an offset: no patch is ever
copied.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from proxies.recording import WeightCall
from proxies.scores import ScoreError

PIECE_WEIGHTS = 2**18  # gradients held at a time: 1 MiB a sample in single precision


def weight_gradient_pieces(call: WeightCall, gradient: Tensor) -> Iterator[Tensor]:
    """Yield gradients of each sample with respect to the weight of one call.

    Args:
        call: A use of a weight on samples [n, ...].
        gradient: Gradient of what is summed over samples, with respect to the output of the call.

    Yields:
        Gradients of some of the weights [n, p]. Calls of one weight yield the same weights in the same order,
        whatever the number of samples.

    Raises:
        ScoreError: The input does not have the samples as its first dimension, or the layer is of a kind not handled.
    """
    if not call.is_convolution:
        return _linear(call, gradient)
    if call.input.dim() != 4:
        raise ScoreError(f"{call.layer}: only two-dimensional convolutions have per-sample gradients here")
    if call.groups == call.input.shape[1] and call.weight.shape[1] == 1:
        return _depthwise(call, gradient)
    return _convolution(call, gradient)


def _linear(call: WeightCall, gradient: Tensor) -> Iterator[Tensor]:
    n, outputs, inputs = len(gradient), *call.weight.shape
    x, g = call.input.reshape(n, -1, inputs), gradient.reshape(n, -1, outputs)
    if x.shape[1] != g.shape[1]:
        raise ScoreError(f"{call.layer}: input {tuple(call.input.shape)} does not have samples first")
    rows = max(1, PIECE_WEIGHTS // inputs)
    for start in range(0, outputs, rows):
        yield torch.bmm(g[:, :, start : start + rows].transpose(1, 2), x).flatten(1)


def _convolution(call: WeightCall, gradient: Tensor) -> Iterator[Tensor]:
    kernel_h, kernel_w = call.weight.shape[2:]
    inputs, groups = call.weight.shape[1], call.groups
    outputs = call.weight.shape[0] // groups
    layout = _Layout(call, gradient)
    rows = max(1, PIECE_WEIGHTS // inputs)
    for group in range(groups):
        channels = slice(group * inputs, (group + 1) * inputs)
        for start in range(0, outputs, rows):
            stop = min(start + rows, outputs)
            g = layout.gradient[:, :, group * outputs + start : group * outputs + stop].transpose(1, 2)
            for a in range(kernel_h):
                for b in range(kernel_w):
                    yield torch.bmm(g, layout.tap(a, b)[:, :, channels]).flatten(1)


def _depthwise(call: WeightCall, gradient: Tensor) -> Iterator[Tensor]:
    kernel_h, kernel_w = call.weight.shape[2:]
    layout = _Layout(call, gradient)
    multiplier = call.weight.shape[0] // call.groups
    g = layout.gradient
    if multiplier > 1:
        g = g.unflatten(2, (call.groups, multiplier))
    for a in range(kernel_h):
        for b in range(kernel_w):
            x = layout.tap(a, b)
            product = g * (x.unsqueeze(3) if multiplier > 1 else x)
            yield product.sum(1).flatten(1)


class _Layout:
    """Input and output gradient of a convolution as [n, positions, channels], rows of equal width.

    With stride s the input falls into s x s phases; tap (a, b) reads one of them at an offset. Behind every row of the
    output gradient stand zeros, so that positions beyond the row contribute nothing.
    """

    def __init__(self, call: WeightCall, gradient: Tensor) -> None:
        self.call = call
        self.n = len(gradient)
        height, width = gradient.shape[2:]
        reach_h, reach_w = (
            d * (k - 1) // s for d, k, s in zip(call.dilation, call.weight.shape[2:], call.stride, strict=True)
        )
        self.height, self.width = height + reach_h, width + reach_w
        self.positions = (height - 1) * self.width + width
        g = gradient.permute(0, 2, 3, 1)
        g = F.pad(g, (0, 0, 0, reach_w)) if reach_w else g.contiguous()
        self.gradient = g.flatten(1, 2)[:, : self.positions]
        self.phases: dict[tuple[int, int], Tensor] = {}
        self.padded = F.pad(call.input, [p for pad in reversed(call.padding) for p in (pad, pad)])

    def tap(self, a: int, b: int) -> Tensor:
        """Return what tap (a, b) of the kernel reads at every output position [n, positions, C]."""
        stride, dilation = self.call.stride, self.call.dilation
        phase = self._phase(a * dilation[0] % stride[0], b * dilation[1] % stride[1])
        offset = a * dilation[0] // stride[0] * self.width + b * dilation[1] // stride[1]
        return phase[:, offset : offset + self.positions]

    def _phase(self, top: int, left: int) -> Tensor:
        if (top, left) not in self.phases:
            stride = self.call.stride
            rows = self.padded[:, :, top :: stride[0], left :: stride[1]][:, :, : self.height, : self.width]
            rows = F.pad(rows, (0, self.width - rows.shape[3], 0, self.height - rows.shape[2]))
            self.phases[top, left] = rows.permute(0, 2, 3, 1).contiguous().flatten(1, 2)
        return self.phases[top, left]
