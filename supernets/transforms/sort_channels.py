"""Sort the hidden channels of every block by importance, so that a narrow subnet keeps the important ones.

Paper: Once-for-All, arXiv 1908.09791, section 3.3: importance is the L1 norm of the weights that read a channel.
Differs: widths that are trained already keep their set of channels by sorting on (width group, importance); the
released code adds large negative numbers in float32 instead, which makes small importances tie. Hidden units of
squeeze-excite keep their groups too; the released code sorts all of them again, which changes what the trained widths
compute.
"""

from collections.abc import Collection

import numpy as np
import torch

from search_spaces import Choice
from search_spaces.blocks import HiddenChannels
from search_spaces.elastic import JointSize, Size
from supernets.supernet import Supernet


@torch.no_grad()
def sort_channels(supernet: Supernet, trained: Collection[Choice] = ()) -> None:
    """Reorder hidden channels in place, most important first.

    The function of the largest architecture does not change, nor that of any architecture whose widths are all among
    the `trained` choices. Optimizer states of the weights do not fit them afterwards.

    Args:
        supernet: Supernet whose blocks state their `hidden_channels`.
        trained: Width choices that subnets were trained with, besides the largest.
    """
    for block in supernet.modules():
        hidden_channels = getattr(block, "hidden_channels", None)
        for hidden in hidden_channels() if hidden_channels is not None else ():
            _sort(hidden, trained)


def _sort(hidden: HiddenChannels, trained: Collection[Choice]) -> None:
    weight = hidden.reader.weight
    importance = weight.abs().sum([d for d in range(weight.dim()) if d != 1]).double().cpu().numpy()
    widths = sorted(_trained_widths(hidden.reader.in_size, trained))
    group = np.searchsorted(widths, np.arange(len(importance)), side="right")
    order = torch.from_numpy(np.lexsort((-importance, group))).to(weight.device)
    for tensor, dimension in hidden.carriers:
        tensor.copy_(tensor.index_select(dimension, order))


def _trained_widths(size: object, trained: Collection[Choice]) -> set[int]:
    """Return the widths of the choices that subnets were trained with."""
    if isinstance(size, JointSize):
        return {width for choices, width in size.values.items() if any(choice in trained for choice in choices)}
    return {size.values[choice] for choice in trained if choice in size.values} if isinstance(size, Size) else set()
