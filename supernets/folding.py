"""Supernets with experts, as plain ones for a single architecture."""

from copy import deepcopy

from search_spaces import Architecture
from search_spaces.elastic.experts import BlendedFeedForward
from supernets.experts import experts_of, without_experts
from supernets.several import SeveralSupernets
from supernets.supernet import Supernet


def folded(supernet: Supernet, architecture: Architecture) -> Supernet:
    """Return a copy that can be trained further with one architecture; experts become the layers that it runs.

    Args:
        supernet: The supernet.
        architecture: An architecture of its space.

    Returns:
        A supernet without experts, in which other architectures than this one mean nothing; where there were no
        experts, a copy of the whole.
    """
    if experts_of(supernet.space) is None:
        return deepcopy(supernet)
    before = supernet.active
    supernet.activate(architecture)
    one = supernet.leaves[supernet.leaf_of(supernet.active)] if isinstance(supernet, SeveralSupernets) else supernet
    blended = [module for module in one.network.modules() if isinstance(module, BlendedFeedForward)]
    network = deepcopy(one.network, {id(module): module.folded() for module in blended})
    plain = Supernet(without_experts(one.space), network)
    plain.own_statistics = one.own_statistics
    plain.activate(supernet.active)
    supernet.activate(before)
    return plain.train(supernet.training)
