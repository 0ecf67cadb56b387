"""A batch of images and labels for the tests of statistics."""

import pytest
import torch


@pytest.fixture
def images():
    return torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    return torch.arange(8) % 5
