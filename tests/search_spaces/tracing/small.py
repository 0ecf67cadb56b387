"""What tests of traces share: a trace that is proven, and what its groups are."""

import torch
from torch import nn

from search_spaces.tracing import TOLERANCE, Traced, check_permutation, trace


def proven(module: nn.Module, *shape: int) -> Traced:
    """Return the trace of a network on one input, after its permutation proof."""
    traced = trace(module, (torch.zeros(1, *shape),))
    assert check_permutation(traced, torch.Generator().manual_seed(0)) < TOLERANCE
    return traced


def groups(traced: Traced) -> dict[str, tuple[str, int]]:
    """Return kind and size of each group by name."""
    return {group.name: (group.kind, group.size) for group in traced.groups}


def reasons(traced: Traced, name: str) -> dict[int, str]:
    """Return why the dimensions of a tensor stay."""
    return {pin.dimension: pin.reason for pin in traced.pins if pin.where == name}
