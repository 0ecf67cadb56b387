"""Plain: the signed sum of weight times gradient.

Paper: Mozer & Smolensky, Skeletonization, NeurIPS 1988; as a zero-cost proxy Abdelfattah et al., Zero-Cost Proxies for
Lightweight NAS, arXiv 2101.08134: sum of theta * dL/dtheta over the weights of convolutions and linear layers.
Differs: nothing known. It is minus the first-order effect of removing all weights, with which accuracy falls on
NAS-Bench-201; higher counts as better nevertheless, as published.
"""

from dataclasses import dataclass

import torch

from proxies.layer_sum import layer_sum, weighted_gradients
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score


@dataclass(frozen=True, kw_only=True)
class Plain(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    def __call__(self, passes: Passes) -> Score:
        products = weighted_gradients(passes.weights, passes.weight_gradients)
        return layer_sum({name: product.sum(dtype=torch.float64) for name, product in products})
