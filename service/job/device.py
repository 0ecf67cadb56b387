"""The device that a job computes on. PyTorch is asked only where the driver does not know."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from service.job.gpus import Gpu, installed_gpus, seen_by_cuda

if TYPE_CHECKING:
    import torch

_DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""There where a driver of a device that PyTorch calls CUDA is loaded."""


def cuda_devices() -> int:
    """Return the number of CUDA devices that PyTorch can use in this process."""
    gpus = cuda_gpus()
    if gpus is not None:
        return len(gpus)
    import torch

    return torch.cuda.device_count()


def cuda_gpus() -> list[Gpu] | None:
    """Return the NVIDIA GPUs that PyTorch can use in this process, without importing it; None where PyTorch must be
    asked.

    The driver knows whole NVIDIA GPUs. PyTorch is asked about others, and where it is imported already.
    """
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if "torch" in sys.modules:
        return None
    if allowed in ("", "-1") or not any(Path(driver).exists() for driver in _DRIVERS):
        return []
    gpus = installed_gpus()
    if not gpus or any(gpu.is_part for gpu in gpus) or not _is_built_for_cuda():
        return None
    return seen_by_cuda(gpus, allowed)


def _is_built_for_cuda() -> bool:
    """Return whether the installed PyTorch can use NVIDIA GPUs at all."""
    found = find_spec("torch")
    return bool(found and found.origin and (Path(found.origin).parent / "lib" / "libtorch_cuda.so").exists())


def device_type(name: str) -> str:
    """Return `cpu` or `cuda`, for a device as a job names it."""
    if name == "auto":
        return "cuda" if cuda_devices() else "cpu"
    return name.partition(":")[0]


def torch_device(name: str) -> "torch.device":
    """Return the device; `auto` is CUDA where there is one, and each process of torchrun takes its own CUDA device.

    Where there are more processes than devices, they take them in turns.
    """
    import torch

    name = device_type(name) if name == "auto" else name
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        rank, devices = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        name = f"cuda:{rank % devices if devices else rank}"
    return torch.device(name)
