"""Weights that parts of networks hand on to parts of the same kind in other architectures.

Paper: constrained weight sharing of Auto-GNN, arXiv 1909.03184, section 5.
Differs: the paper says which layers fit each other; here the space gives their keys. Statistics of norms, and weights
and biases of norms, are never handed on, as in the paper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from supernets.whole_file import append_line, written_whole

_LINES = "parts.jsonl"


class KeyedStore:
    """Weights of trained networks as files of a folder, and which of them last had a part of each key.

    Args:
        folder: The folder; what was kept there before is known.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last: dict[tuple[str, str], str] = {}
        self._kept: set[str] = set()
        if (lines := folder / _LINES).exists():
            for line in lines.read_text().splitlines():
                self._note(**json.loads(line))

    def path(self, name: str) -> Path:
        """Return the file of the weights of a network."""
        return self.folder / f"{name}.safetensors"

    def begin(self, network: nn.Module, parts: Mapping[str, str]) -> list[str]:
        """Copy weights into parts of a fresh network, from the network that last had a part of the key.

        Args:
            network: The network.
            parts: Name of a module -> its key.

        Returns:
            Names of the parts that have got weights; others stay fresh.
        """
        sources = {name: source for name, key in parts.items() if (source := self._last.get((name, key)))}
        files = {source: load_file(self.path(source)) for source in {*sources.values()}}
        return [name for name, source in sources.items() if _copied(network, name, files[source])]

    def keep(self, name: str, network: nn.Module, parts: Mapping[str, str]) -> None:
        """Write the weights of a trained network, and hand on its parts from now on; again for the same name: nothing.

        Args:
            name: Name of the network, as of a file.
            network: The network.
            parts: Name of a module -> its key.
        """
        if not self.path(name).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            tensors = {one: tensor.contiguous() for one, tensor in network.state_dict().items()}
            with written_whole(self.path(name)) as file:
                file.write(save(tensors))
        if name not in self._kept:
            self._note(name, parts)
            append_line(self.folder / _LINES, json.dumps({"name": name, "parts": dict(parts)}))

    def load(self, name: str, network: nn.Module) -> bool:
        """Copy the weights of a network that was kept into one of the same architecture; return whether it was."""
        if not self.path(name).exists():
            return False
        network.load_state_dict(load_file(self.path(name)))
        return True

    def _note(self, name: str, parts: Mapping[str, str]) -> None:
        self._kept.add(name)
        self._last |= dict.fromkeys(parts.items(), name)


@torch.no_grad()
def _copied(network: nn.Module, part: str, found: Mapping[str, Tensor]) -> bool:
    """Copy the weights of a part from those of another network, where all shapes are equal; return whether it was."""
    own = handed_on(network.get_submodule(part))
    theirs = {name: found.get(f"{part}.{name}") for name in own}
    if any(one is None or one.shape != own[name].shape for name, one in theirs.items()):
        return False
    for name, tensor in own.items():
        tensor.copy_(found[f"{part}.{name}"])
    return bool(own)


def handed_on(part: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of a part by name, without those of norms."""
    norms = [f"{name}." if name else "" for name, one in part.named_modules() if isinstance(one, _NormBase)]
    return {
        name: parameter.data
        for name, parameter in part.named_parameters()
        if not any(name.startswith(norm) for norm in norms)
    }
