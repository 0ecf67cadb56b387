"""Gradient norm: the sum over layers of the Euclidean norm of the gradient.

Paper: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, arXiv 2101.08134.
Differs: nothing known; as in the released code it is the sum of the norms of the layers, not the norm of the whole
gradient.
"""

from dataclasses import dataclass

import torch

from proxies.layer_sum import layer_sum
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score


@dataclass(frozen=True, kw_only=True)
class GradNorm(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    def __call__(self, passes: Passes) -> Score:
        gradients = passes.weight_gradients.items()
        return layer_sum({name: torch.linalg.vector_norm(gradient) for name, gradient in gradients})
