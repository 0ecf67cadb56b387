"""SNIP: the sum of |weight times gradient|.

Paper: Lee et al., SNIP, arXiv 1810.02340: before normalisation, summed over weights as in Abdelfattah et
al., Zero-Cost Proxies for Lightweight NAS, arXiv 2101.08134.
Differs: nothing in the value. The released code differentiates with respect to masks of ones on the weights, whose
gradient is weight times gradient; here no mask is made.
"""

from dataclasses import dataclass

import torch

from proxies.layer_sum import layer_sum, weighted_gradients
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score


@dataclass(frozen=True, kw_only=True)
class Snip(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    def __call__(self, passes: Passes) -> Score:
        products = weighted_gradients(passes.weights, passes.weight_gradients)
        return layer_sum({name: product.abs_().sum(dtype=torch.float64) for name, product in products})
