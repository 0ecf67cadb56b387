"""Weights of trained networks as files."""

import os
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from supernets import Supernet


def save_weights(subnet: nn.Module, path: Path) -> None:
    """Write the weights of a plain subnet as safetensors, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    save_file({name: tensor.contiguous() for name, tensor in subnet.state_dict().items()}, temporary)
    os.replace(temporary, path)


def save_supernet(supernet: Supernet, path: Path) -> None:
    """Write a supernet, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    supernet.save(temporary)
    os.replace(temporary, path)
