"""The device that a job computes on; PyTorch is imported only where a machine may have more than its processor."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""There where a driver of a device that PyTorch calls CUDA is loaded."""


def cuda_devices() -> int:
    """Return the number of CUDA devices that PyTorch can use in this process."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if "torch" not in sys.modules and (hidden or not any(Path(driver).exists() for driver in _DRIVERS)):
        return 0
    import torch

    return torch.cuda.device_count()


def device_type(name: str) -> str:
    """Return `cpu` or `cuda`, for a device as a job names it."""
    if name == "auto":
        return "cuda" if cuda_devices() else "cpu"
    return name.partition(":")[0]


def torch_device(name: str) -> "torch.device":
    """Return the device; `auto` is CUDA where there is one, and each process of torchrun takes its own CUDA device."""
    import torch

    name = device_type(name) if name == "auto" else name
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    return torch.device(name)
