"""Weight norm: the sum over layers of the Euclidean norm of the fresh weights.

Paper: Abdelfattah et al., Zero-Cost Proxies for Lightweight NAS, arXiv 2101.08134 (released code).
Differs: nothing known. It needs neither data nor a pass; every layer counts, whether it takes part or not.
"""

from dataclasses import dataclass

import torch

from proxies.layer_sum import layer_sum
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score


@dataclass(frozen=True, kw_only=True)
class L2Norm(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    def __call__(self, passes: Passes) -> Score:
        weights = passes.weights.items()
        return layer_sum({name: torch.linalg.vector_norm(weight.detach()) for name, weight in weights})
