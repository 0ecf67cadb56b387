"""GraSP: how much the gradient flow would fall without the weights.

Paper: Wang et al., Picking Winning Tickets Before Training by Preserving Gradient Flow, arXiv 2002.07376:
sum of -theta * (H g), with H the Hessian of the loss and g its gradient, over weights of convolutions and linear
layers; temperature 1 and one batch as in Abdelfattah et al., arXiv 2101.08134.
Differs: nothing known. The sign is the paper's; on NAS-Bench-201 it ranks in the direction of accuracy.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from proxies.layer_sum import layer_sum, weighted_gradients
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score


@dataclass(frozen=True, kw_only=True)
class Grasp(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    needs: ClassVar[frozenset[str]] = frozenset({"second_order"})

    def __call__(self, passes: Passes) -> Score:
        products = weighted_gradients(passes.weights, passes.hessian_gradient)
        return layer_sum({name: -product.sum(dtype=torch.float64) for name, product in products})
