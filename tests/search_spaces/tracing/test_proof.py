"""The permutation proof sees wrong groups: one index in the wrong place in one tensor is enough."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from search_spaces.tracing import Traced, check_permutation, trace
from tests.search_spaces.elastic.traced_networks import Convolutional, Transformer


class Upsampled(nn.Module):
    """A learned resizing that begins as the same kernel for every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)
        self.up = nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=8, bias=False)
        with torch.no_grad():
            self.up.weight.copy_(torch.arange(16.0).reshape(4, 4).expand(8, 1, 4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.up(self.stem(x)))


def error(traced: Traced) -> float:
    return check_permutation(traced, torch.Generator().manual_seed(0))


def with_one_index_wrong(traced: Traced, name: str, dimension: int) -> Traced:
    """Return a trace in which two units of one dimension of a tensor have changed places."""
    units = list(traced.tensors[name])
    own = np.array(units[dimension])
    first = int(np.flatnonzero(own >= 0)[0])
    second = next(place for place, unit in enumerate(own) if unit >= 0 and unit != own[first])
    own[first], own[second] = own[second], own[first]
    units[dimension] = own
    return replace(traced, tensors={**traced.tensors, name: tuple(units)})


@pytest.mark.parametrize("network", [Convolutional, Transformer, Upsampled])
def test_one_wrong_index_in_any_tensor_is_seen(network: type[nn.Module]):
    torch.manual_seed(0)
    traced = trace(network().eval(), (torch.zeros(1, 3, 16, 16),))
    assert error(traced) < 1e-12
    read = {str(node.target) for node in traced.graph.find_nodes(op="get_attr")}
    seen = {
        (name, dimension): error(with_one_index_wrong(traced, name, dimension))
        for name in read
        for dimension, own in enumerate(traced.tensors[name])
        if own is not None
    }
    assert len(seen) >= 4
    assert min(seen.values()) > 1e-6, min(seen, key=seen.__getitem__)
