"""Fisher: squared activation times gradient, by output channel.

Paper: Theis et al., Faster gaze prediction with dense networks and Fisher pruning, arXiv 1801.05787; as a
zero-cost proxy Abdelfattah et al., arXiv 2101.08134. With a the output of a convolution or linear layer, channel c has
Delta_c = 1/2 mean_n (sum_positions a dL/da)^2, and a layer scores numel(W[0]) * sum_c Delta_c: the released code gives
every weight of a channel the channel's value before it sums.
Differs: where a layer is used several times its products are summed before they are squared, as for a channel that is
removed everywhere; the released code sums the squares.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from proxies.layer_sum import layer_sum
from proxies.passes import Passes
from proxies.proxy import Proxy
from proxies.scores import Score, ScoreError


@dataclass(frozen=True, kw_only=True)
class Fisher(Proxy):
    """A zero-cost proxy without options; the module defines its score."""

    needs: ClassVar[frozenset[str]] = frozenset({"channel_products"})

    def __call__(self, passes: Passes) -> Score:
        products = passes.channel_products
        for name in passes.weights.keys() - products.keys():
            if passes.weight_gradients[name].any():
                raise ScoreError(f"{name}: its weight is used in a way that has no output channels here")
        shares = {name: passes.weights[name][0].numel() * _channels(product) for name, product in products.items()}
        # layers that take no part stay in the list with nothing
        nothing = torch.zeros((), dtype=torch.float64, device=passes.device)
        return layer_sum({name: shares.get(name, nothing) for name in passes.weights})


def _channels(products: torch.Tensor) -> torch.Tensor:
    """Return the sum of Delta over channels, from products [B, C]."""
    return 0.5 * products.double().square().mean(0).sum()
