"""The software and the hardware that a job runs on, for the record beside its results."""

import importlib.metadata
import os
import platform
import runpy
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from service.job.device import cuda_devices, cuda_gpus

DISTRIBUTION = "espalier-nas"
"""What pip installs; the name `espalier` belongs to another project there."""
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pymoo", "mlflow")


def environment() -> dict[str, Any]:
    """Return versions, machine and git commit, as plain values."""
    return {
        "python": platform.python_version(),
        **{package: _version_of(package) for package in PACKAGES},
        "espalier": version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **_cuda(),
        **_git(),
    }


@cache
def version() -> str:
    """Return the version of this package, `unknown` where it runs from a checkout that is not installed."""
    return _version_of(DISTRIBUTION) or "unknown"


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    """Return the model name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _cuda() -> dict[str, Any]:
    """Return the model of the first device, and the version of CUDA that PyTorch was built with."""
    gpus = cuda_gpus()
    if gpus == [] or not cuda_devices():
        return {"device": "cpu", "cuda": None}
    if gpus and len({gpu.model for gpu in gpus}) == 1:  # only CUDA knows which of several is the first
        return {"device": gpus[0].model, "cuda": _built_with_cuda()}
    import torch

    return {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}


def _built_with_cuda() -> str | None:
    """Return what `torch.version.cuda` is, from its file alone."""
    found = find_spec("torch")
    assert found is not None
    assert found.origin is not None
    return runpy.run_path(str(Path(found.origin).with_name("version.py")))["cuda"]


def _git() -> dict[str, Any]:
    """Return the commit of the working directory and whether tracked files differ; None outside a repository."""
    commit = _git_output("rev-parse", "HEAD")
    changes = _git_output("status", "--porcelain", "--untracked-files=no") if commit else None
    return {"git_commit": commit, "git_changed": None if changes is None else bool(changes)}


def _git_output(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
