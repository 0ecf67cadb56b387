"""What a training has learned about the choices of a space: logits, and the probabilities that they stand for.

Paper: sparsemax, Martins & Astudillo, arXiv 1602.02068; DrNAS, arXiv 2006.10355, for the Dirichlet distribution.
Differs: nothing known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces import Architecture, Space
from search_spaces.relaxing import relaxing

SMALLEST = 1e-12
"""What a probability of 0 counts as where its logarithm is taken."""
PREFIX = "logits:"
"""What the names of logits begin with in the file of a supernet."""
METHOD = "relaxation"
"""The entry of its metadata that says how logits become weights."""


@dataclass(frozen=True)
class Learned:
    """Logits that a training has learned, and how they become weights.

    Args:
        method: Name of the relaxation, see `RelaxationConfig.method`.
        logits: Logits [C] of the choices of every vector, see `search_spaces.vectors`.
    """

    method: str
    logits: Mapping[str, Tensor]

    def probabilities(self) -> dict[str, np.ndarray]:
        """Return the probabilities [C] of the choices of every vector; of `drnas` those that draws have on average."""
        return {name: probabilities(row, self.method) for name, row in self.logits.items()}

    def architecture(self, space: Space) -> Architecture:
        """Return the architecture of the most probable choices.

        Raises:
            InvalidArchitecture: These choices together are no member of the space.
        """
        scores = {name: np.log(np.maximum(p, SMALLEST)) for name, p in self.probabilities().items()}
        return space.architecture(relaxing(space).values(scores))

    def to_json(self, space: Space) -> dict[str, Any]:
        """Return logits and probabilities by vector and choice, for JSON."""
        choices = {vector.name: vector.choices for vector in relaxing(space).all}

        def by_choice(name: str, numbers: Sequence[float]) -> dict[str, float]:
            return {str(choice): float(number) for choice, number in zip(choices[name], numbers)}

        return {
            "method": self.method,
            "architecture": self.architecture(space).to_json(),
            "logits": {name: by_choice(name, row.tolist()) for name, row in self.logits.items()},
            "probabilities": {name: by_choice(name, p.tolist()) for name, p in self.probabilities().items()},
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of the logits by the names that they have in a file."""
        return {PREFIX + name: row.detach().clone() for name, row in self.logits.items()}

    @classmethod
    def taken_from(cls, tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> Learned | None:
        """Take the logits out of the tensors of a file; None where it has none."""
        names = [name for name in tensors if name.startswith(PREFIX)]
        logits = {name.removeprefix(PREFIX): tensors.pop(name) for name in names}
        return cls(metadata.get(METHOD, "softmax"), logits) if logits else None


@torch.no_grad()
def probabilities(logits: Tensor, method: str) -> np.ndarray:
    """Return the probabilities of choices with these logits [C], as float64 [C]."""
    wide = logits.double().cpu()
    if method == "drnas":
        return (concentration(wide) / concentration(wide).sum()).numpy()
    return (sparsemax(wide[None])[0] if method == "sparsemax" else wide.softmax(0)).numpy()


def concentration(logits: Tensor) -> Tensor:
    """Return the parameters of the Dirichlet distribution with these logits, all above 0."""
    return F.elu(logits) + 1


def sparsemax(logits: Tensor) -> Tensor:
    """Return the points [V, C] of the simplex that are nearest to logits [V, C]."""
    ordered = logits.sort(1, descending=True).values
    ranks = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype)
    sums = ordered.cumsum(1) - 1
    support = (ordered * ranks > sums).sum(1, keepdim=True)
    threshold = sums.gather(1, support - 1) / support
    return (logits - threshold).clamp_min(0)
