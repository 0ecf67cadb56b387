"""Sizes: parameters, multiply-accumulates and layers, the baselines every other proxy has to beat.

Paper: parameters and multiply-accumulates as in Krishnakumar et al., NAS-Bench-Suite-Zero, arXiv 2210.03230; layers as
in Tybl & Neumann, Training-free Neural Architecture Search through Variance of Knowledge of Deep Network Weights, CVPR
2025.
Differs: numbers, not millions. Multiply-accumulates are those of convolutions and linear layers alone; NASLib adds
other operations. Every parameter counts, frozen or not. Layers count where the output depends on their weight; the
released code counts every parameter tensor there is.
"""

from dataclasses import dataclass

import torch

from proxies.layer_sum import layer_sum
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score

FEW = 8
"""Enough that batch norm has statistics and no layer is cut off by ReLUs that happen to be off for all of them."""


@dataclass(frozen=True, kw_only=True)
class Params(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    counts = "params"

    def __call__(self, passes: Passes) -> Score:
        return Score(float(sum(parameter.numel() for parameter in passes.model.parameters())))


@dataclass(frozen=True, kw_only=True)
class Macs(Proxy):
    """Multiply-accumulates of one example; a layer that is used several times counts every time. It has no options."""

    counts = "macs"

    def __call__(self, passes: Passes) -> Score:
        made = "ordinary" in vars(passes)
        trace = passes.ordinary if made else passes.trace(passes.batch.part(slice(FEW)), input_gradients=False)
        macs = dict.fromkeys(passes.weights, 0)
        for call in trace.calls:
            macs[call.layer] += call.output.numel() // len(trace.inputs[0]) * call.weight[0].numel()
        return Score(float(sum(macs.values())), {name: float(count) for name, count in macs.items()})


@dataclass(frozen=True, kw_only=True)
class Layers(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    def __call__(self, passes: Passes) -> Score:
        passes = Passes(passes.duplicate(), passes.batch, copy=False)
        _fill_scales(passes)
        output = passes.trace(passes.batch.part(slice(FEW)), input_gradients=False).output
        # random, since batch norm removes what is equal for all samples
        cotangent = torch.randn(
            output.shape, generator=passes.generator("layers"), device=output.device, dtype=output.dtype
        )
        gradients = torch.autograd.grad(output, list(passes.weights.values()), cotangent, allow_unused=True)
        taking_part = {n: g.any() for n, g in zip(passes.weights, gradients) if g is not None}
        return Score(layer_sum(taking_part).value)


def _fill_scales(passes: Passes) -> None:
    """Set scales that start at zero to one: they cut a branch off only until the first training step."""
    scales = [p for name, p in passes.model.named_parameters() if not name.endswith("bias")]
    zero = torch.stack([~scale.detach().any() for scale in scales]).tolist()
    with torch.no_grad():
        for scale, is_zero in zip(scales, zero):
            if is_zero:
                scale.fill_(1)
