"""Weights of trained networks as files."""

from pathlib import Path

from safetensors.torch import save as as_safetensors
from torch import nn

from supernets.whole_file import written_whole


def save_weights(subnet: nn.Module, path: Path) -> None:
    """Write the weights of a plain subnet as safetensors, whole or not at all."""
    with written_whole(path) as file:
        file.write(as_safetensors({name: tensor.contiguous() for name, tensor in subnet.state_dict().items()}))
