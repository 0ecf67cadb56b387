"""LogSynFlow: synaptic flow with the gradients in logarithm, so that no layer drowns the others.

Paper: Cavagnero et al., FreeREA: Training-Free Evolution-based Architecture Search, arXiv 2207.05135: the sum of
|theta| * log(|dR/dtheta| + 1), with R as in SynFlow (arXiv 2006.05467).
Differs: the weights are those of the model, which here are PyTorch's own initialisation. The published scores are of
Kaiming normal weights by fan-out: with those this proxy gives 0.97 times them (median of 45 NAS-Bench-201 cells), with
PyTorch's own 0.32 times. The order of the cells is nearly the same, Spearman of ours with the published scores is
0.987, and the published ones rank accuracies a little better. R is that of `proxies.synflow`: no batch norm, absolute
values, double precision.
"""

from dataclasses import dataclass

from proxies.layer_sum import layer_sum
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score
from proxies.synflow import absolute_flow


@dataclass(frozen=True, kw_only=True)
class LogSynFlow(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    def __call__(self, passes: Passes) -> Score:
        flows = passes.shared(absolute_flow).items()
        return layer_sum({name: (weight * gradient.log1p()).sum() for name, (weight, gradient) in flows})
