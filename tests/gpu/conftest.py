"""The device that the tests of this folder run on."""

from collections.abc import Iterator

import pytest
import torch

from tests.gpu.device import ON, chosen, repeatable


@pytest.fixture
def accelerator() -> Iterator[torch.device]:
    """The CUDA device, or the CPU where $ESPALIER_GPU_TESTS says so; convolutions are in float32 meanwhile."""
    device = chosen()
    if device is None:
        pytest.skip(f"needs a CUDA device ({ON}=cpu runs the same on the CPU)")
    kept = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    repeatable()
    yield device
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = kept
