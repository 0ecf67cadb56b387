"""The device that a job computes on."""

import os

import torch


def device_type(name: str) -> str:
    """`cpu` or `cuda`, for a device as a job names it."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name.partition(":")[0]


def torch_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one; of several processes of torchrun each takes its own CUDA device."""
    name = device_type(name) if name == "auto" else name
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    return torch.device(name)
