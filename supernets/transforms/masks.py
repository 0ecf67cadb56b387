"""Masks of single weights: the smallest ones of a whole network are masked, by one threshold for all layers.

Paper: SuperTickets, arXiv 2207.03677. Values of masked weights count as those of all others, so that a weight that
has grown returns.
Differs: exactly as many weights are masked as asked for; released code masks all that are as small as the last one.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from search_spaces.elastic import masked_layers


class Pruned(NamedTuple):
    """What a pruning has changed.

    Attributes:
        masked: Weights that are masked now.
        total: Weights that can be masked: those of all channels that are left.
        returned: Weights that were masked before and are not any more.
    """

    masked: int
    total: int
    returned: int

    @property
    def sparsity(self) -> float:
        """Part of the weights that is masked."""
        return self.masked / self.total if self.total else 0.0


@torch.no_grad()
def prune(network: nn.Module, sparsity: float) -> Pruned:
    """Mask the smallest weights of the active architecture, over all of its layers that have masks; unmask all others.

    Args:
        network: Network, or supernet.
        sparsity: Part of these weights that is masked, rounded down to whole weights.
    """
    layers = [layer for _, layer in masked_layers(network)]
    sizes = [layer.weight[layer.live()].abs().flatten() for layer in layers]
    if not layers:
        return Pruned(0, 0, 0)
    before = torch.cat([layer.mask[layer.live()].flatten() for layer in layers])
    scores = torch.cat(sizes)
    count = int(sparsity * len(scores) + 1e-6)
    kept = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    kept[scores.argsort(stable=True)[:count]] = False
    _write(network, kept)
    return Pruned(count, len(scores), int((kept & ~before).sum()))


@torch.no_grad()
def unmask(network: nn.Module) -> int:
    """Unmask all weights of the active architecture; return how many were masked."""
    masked = counted(network).masked
    for _, layer in masked_layers(network):
        layer.mask.fill_(True)
    return masked


@torch.no_grad()
def counted(network: nn.Module) -> Pruned:
    """Return how many weights of the active architecture are masked, and how many there are."""
    masks = [layer.mask[layer.live()] for _, layer in masked_layers(network)]
    total = sum(mask.numel() for mask in masks)
    return Pruned(total - sum(int(mask.sum()) for mask in masks), total, 0)


def _write(network: nn.Module, kept: Tensor) -> None:
    """Set the masks of the active architecture, layer after layer."""
    start = 0
    for _, layer in masked_layers(network):
        live = layer.mask[layer.live()]
        live.copy_(kept[start : start + live.numel()].view(live.shape))
        start += live.numel()
