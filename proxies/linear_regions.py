"""TE-NAS R: number of linear regions of a thin network that many tiny inputs fall into.

Paper: Chen et al., Neural Architecture Search on ImageNet in Four GPU Hours, ICLR 2021, arXiv 2102.11535, eq. 5:
distinct sign patterns of all ReLUs among 3 batches of 1,000 inputs 1 x 3 x 3 (one random channel of random crops of
training images), in a copy of the network with one channel, Kaiming initialisation (fan-in), batch norm by the
statistics of the batch.
Differs: the copy is as deep as the network, where the paper has one cell in each stage. Every width is divided by that
of the first weight layer and is at least 1, so NAS-Bench-201 gets the published 1, 2 and 4 channels; this is done call
by call of convolutions, linear layers and batch norms, so no description of the architecture is needed. Crops come from
the batch. One draw of weights instead of the mean of 3. ReLUs on vectors do not count, as in the paper. `thin=False`
takes the network as it is, weights included, and inputs of all channels (and counts every ReLU); with more than a few
channels every input then falls into a region of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gcd, sqrt
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from proxies.passes import Passes, output_of
from proxies.proxy import Proxy
from proxies.recording import BATCH_NORMS, CONVOLUTION_ARGUMENTS, CONVOLUTIONS, RELUS, is_relu6
from proxies.scores import Score, ScoreError


@dataclass(frozen=True, kw_only=True)
class LinearRegions(Proxy):
    """A zero-cost proxy; the module defines its score.

    Args:
        inputs: Tiny inputs in one batch.
        batches: Number of batches.
        size: Height and width of an input.
        thin: Count in a thin copy of the network.
        repeats: Thin copies with weights of their own, over which the mean is taken.
    """

    inputs: int = 1000
    batches: int = 3
    size: int = 3
    thin: bool = True
    repeats: int = 1

    def __post_init__(self) -> None:
        numbers = self.inputs, self.batches, self.size, self.repeats
        if min(numbers) < 1:
            raise ValueError(f"inputs, batches, size and repeats are positive, got {numbers}")

    def __call__(self, passes: Passes) -> Score:
        generator = passes.generator("linear_regions")
        crops = self._crops(passes, generator)
        if not self.thin:
            return Score(
                float(
                    self._regions(lambda batch: passes.trace((batch,), input_gradients=False, signs=True).signs, crops)
                )
            )
        width = len(next(iter(passes.weights.values())))
        copies = [_Thin(passes.model, width, generator) for _ in range(self.repeats)]
        return Score(sum(self._regions(copy.signs_of, crops) for copy in copies) / self.repeats)

    def _regions(self, signs_of: Callable[[Tensor], list[Tensor]], crops: Tensor) -> int:
        patterns: set[bytes] = set()
        for batch in crops.split(self.inputs):
            signs = signs_of(batch)
            if not signs:
                raise ScoreError("the model has no ReLU on feature maps, whose patterns would be counted")
            patterns |= distinct_rows(signs)
        return len(patterns)

    def _crops(self, passes: Passes, generator: torch.Generator) -> Tensor:
        pictures = passes.batch.pictures
        if min(pictures.shape[2:]) < self.size:
            raise ScoreError(f"no {self.size} x {self.size} crops can be taken from pictures {tuple(pictures.shape)}")
        count, size, device = self.inputs * self.batches, self.size, pictures.device
        limits = (len(pictures), pictures.shape[1], pictures.shape[2] - size + 1, pictures.shape[3] - size + 1)
        picture, channel, top, left = (
            torch.randint(limit, (count, 1, 1, 1), generator=generator, device=device) for limit in limits
        )
        if not self.thin:
            channel = torch.arange(pictures.shape[1], device=device)[:, None, None]
        offset = torch.arange(size, device=device)
        return pictures[picture, channel, top + offset[:, None], left + offset]


def distinct_rows(signs: list[Tensor]) -> set[bytes]:
    """Return the distinct rows of [inputs, units], given side by side as booleans."""
    packed = np.packbits(torch.cat(signs, 1).cpu().numpy(), axis=1)
    return {row.tobytes() for row in packed}


class _Thin(TorchFunctionMode):
    """While active, weights are replaced by thinner ones, drawn when they are first used.

    Args:
        model: The whole network.
        width: Divisor of all numbers of channels.
        generator: Generator of the weights.
    """

    def __init__(self, model: nn.Module, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.model, self.width, self.generator = model, width, generator
        self.weights: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # the whole one kept: its identity is the key
        self.signs: list[Tensor] = []

    @torch.no_grad()
    def signs_of(self, inputs: Tensor) -> list[Tensor]:
        self.signs = []
        with self:
            output_of(self.model, (inputs,))
        return self.signs

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in CONVOLUTIONS:
            return self._convolution(func, {**dict(zip(CONVOLUTION_ARGUMENTS, args)), **kwargs})
        if func is F.linear:
            return self._linear({**dict(zip(("input", "weight", "bias"), args)), **kwargs})
        if func in BATCH_NORMS:
            call = {**dict(zip(BATCH_NORMS[func], args)), **kwargs}
            return F.batch_norm(call["input"], None, None, training=True, eps=call.get("eps", 1e-5))
        if (func in RELUS or is_relu6(func, kwargs)) and args[0].dim() == 4:
            self.signs.append((args[0] > 0).flatten(1))
        return func(*args, **kwargs)

    def _convolution(self, func: Callable[..., Any], call: dict[str, Any]) -> Tensor:
        weight, channels, groups = call["weight"], call["input"].shape[1], call.get("groups", 1)
        outputs = self._thinner(len(weight))
        if groups > 1 and weight.shape[1] == 1:  # depthwise: every channel by itself
            groups, outputs = channels, channels * (len(weight) // groups)
        else:
            groups = gcd(groups, channels, outputs)
        thin = self._weight(weight, (outputs, channels // groups, *weight.shape[2:]))
        return func(**(call | {"weight": thin, "bias": None, "groups": groups}))

    def _linear(self, call: dict[str, Any]) -> Tensor:
        weight, features = call["weight"], call["input"].shape[-1]
        return F.linear(call["input"], self._weight(weight, (self._thinner(len(weight)), features)))

    def _thinner(self, channels: int) -> int:
        return max(1, channels // self.width)

    def _weight(self, whole: Tensor, shape: tuple[int, ...]) -> Tensor:
        key = id(whole), shape[1]
        if key not in self.weights:
            drawn = torch.empty(shape, dtype=whole.dtype, device=whole.device).normal_(generator=self.generator)
            self.weights[key] = whole, drawn * sqrt(2 / drawn[0].numel())
        return self.weights[key][1]
