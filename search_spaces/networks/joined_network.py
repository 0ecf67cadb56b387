"""Several networks on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class JoinedNetwork(nn.Module):
    """Parts that take the same inputs and give outputs [B, networks, ...] each, joined to one tensor.

    Args:
        parts: Networks side by side, by the name of their part.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat([part(*inputs) for part in self.parts.values()], dim=1)
