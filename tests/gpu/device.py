"""The device of these tests, in their own process and in those that they start."""

import os

import torch

ON = "ESPALIER_GPU_TESTS"


def chosen() -> torch.device | None:
    """Return the device: CUDA where there is one, the CPU where $ESPALIER_GPU_TESTS says so, else none."""
    if os.environ.get(ON) == "cpu":
        return torch.device("cpu")
    return torch.device("cuda") if torch.cuda.is_available() else None


def device() -> torch.device:
    """Return the device of a process that a test has started."""
    found = chosen()
    assert found is not None, "a process of a test on a device finds none"
    return found


def repeatable() -> None:
    """Let CUDA sum in the same order every time, as far as it can, and in float32."""
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
