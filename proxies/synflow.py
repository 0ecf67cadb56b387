"""SynFlow: the path norm of the network, which needs no data.

Paper: Tanaka et al., Pruning neural networks without any data by iteratively conserving synaptic flow, arXiv
2006.05467; as a zero-cost proxy Abdelfattah et al., arXiv 2101.08134. Every parameter and buffer is replaced by its
absolute value, batch norm is bypassed, R is the sum of the outputs for one input of ones in double precision, and a
layer scores sum |theta * dR/dtheta|.
Differs: the logarithm of the sum is the score, as in NASLib, but where no path leads from the input to the output the
sum is 0 and there is no score (NASLib says 0, which is no worse than a sum of 1). `log=False` gives the plain sum.
Inputs that are whole numbers, such as tokens, are those of the first example.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from proxies.batch import Batch
from proxies.layer_sum import layer_sum
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError


@dataclass(frozen=True, kw_only=True)
class SynFlow(Proxy):
    """A zero-cost proxy; the module defines its score. Args: log: Logarithm of the sum over layers, instead of
    the sum.
    """

    log: bool = True

    def __call__(self, passes: Passes) -> Score:
        flows = passes.shared(absolute_flow).items()
        raw = layer_sum({name: (weight * gradient).sum() for name, (weight, gradient) in flows})
        if not self.log:
            return raw
        if raw.value == 0:
            raise ScoreError("no path with weights leads from the input to the output, so there is no synaptic flow")
        return Score(math.log(raw.value), raw.layers)


def absolute_flow(passes: Passes) -> dict[str, tuple[Tensor, Tensor]]:
    """Return |weight| and gradient of R by layer, both in double precision and not negative."""
    model = passes.duplicate().double()
    with torch.no_grad():
        torch._foreach_abs_([t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()])
    first = passes.batch.part(slice(1))
    ones = tuple(torch.ones_like(x, dtype=torch.float64) if x.is_floating_point() else x for x in first)
    linear = Passes(model, Batch(ones, passes.batch.losses), copy=False)
    with _BatchNormBypassed():
        output = linear.trace(linear.batch.inputs, input_gradients=False).output
    weights = linear.weights
    gradients = torch.autograd.grad(output.sum(), list(weights.values()), allow_unused=True)
    return {
        name: (weight.detach(), torch.zeros_like(weight) if gradient is None else gradient.abs_())
        for (name, weight), gradient in zip(weights.items(), gradients)
    }


class _BatchNormBypassed(TorchFunctionMode):
    """While active, batch norm gives back what it gets."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (F.batch_norm, torch.batch_norm):
            return args[0] if args else kwargs["input"]
        return func(*args, **kwargs)
