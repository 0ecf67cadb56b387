"""One small network, read off once: a trace takes seconds."""

import pytest
import torch
from torch import nn

from search_spaces import Space
from search_spaces.traced_spaces.reading import Reading
from search_spaces.tracing import Traced
from tests.search_spaces.traced_spaces.networks import small


@pytest.fixture(scope="session")
def network() -> nn.Module:
    torch.manual_seed(0)
    return small(10, 3).eval()


@pytest.fixture(scope="session")
def space(network: nn.Module) -> Space:
    return Space.from_module(network, torch.zeros(2, 3, 24, 24), resolutions=(16, 24), depths=(0, 0.5, 1))


@pytest.fixture(scope="session")
def traced(space: Space) -> Traced:
    reading = getattr(space.build, "__self__", None)
    assert isinstance(reading, Reading)
    return reading.traced
