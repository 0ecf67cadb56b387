"""Several supernets of one space, each for the architectures that suit it best.

Paper: Javan et al., Balanced Mixture of SuperNets for Learning the CNN Pooling Architecture, AutoML-Conf 2023 (PMLR
v224). The training is the step `supernets.training.steps.mixture`.
Differs: nothing known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search_spaces import Architecture, Space
from search_spaces.errors import FieldError
from search_spaces.listing import can_be_listed, listed
from supernets.assignment import Assignment
from supernets.several import SeveralSupernets

ENTRY = "mixture"
"""The entry of the metadata that says of how many supernets a file is."""
_PREFIX = "mixture:"


class Mixture(SeveralSupernets):
    """Supernets of the whole space that share no weights; an architecture runs in the one that suits it.

    Args:
        space: The space, small enough to be listed.
        members: Number of supernets.
        networks: Their networks; with fresh weights unless given.

    Attributes:
        rows: All architectures, as encodings [C, D].
        assignment: What is known of all architectures in all supernets.

    Raises:
        FieldError: The space is too large to be listed.
    """

    def __init__(self, space: Space, members: int, networks: Sequence[nn.Module] | None = None) -> None:
        if not can_be_listed(space):
            raise FieldError(ENTRY, f"must be null: space {space.name!r} has too many architectures to be listed")
        rows = listed(space)
        self.rows, self._numbers = rows, {row.tobytes(): number for number, row in enumerate(rows)}
        self.assignment = Assignment.fresh(len(rows), members)
        self._best: np.ndarray | None = None
        if networks is None:
            networks = [space.build() for _ in range(members)]
        super().__init__(space, [space] * members, networks)

    def row(self, architecture: Architecture) -> int:
        """Return the row of an architecture in the assignment."""
        return self._numbers[self.space.encode(architecture).tobytes()]

    def leaf_of(self, architecture: Mapping[str, Any]) -> int:
        """Return the number of the supernet that suits an architecture best.

        Raises:
            ValueError: It is a mixture of choices.
        """
        if any(isinstance(value, Mapping) for value in architecture.values()):
            raise ValueError("a mixture of supernets cannot run a mixture of choices")
        if self._best is None:
            self._best = self.assignment.best()
        return int(self._best[self.row(self.space.architecture(architecture))])

    def activate_in(self, member: int, architecture: Architecture) -> None:
        """Let a supernet run an architecture, whether it suits it or not."""
        self.active = self.space.architecture(architecture)
        self._leaf = member
        self.leaves[member].activate(self.active)

    def settle(self) -> None:
        """Let architectures run from now on in the supernets that suit them by what is known now."""
        self._best = None
        self.activate(self.active)

    def __deepcopy__(self, memo: dict) -> Mixture:
        copy = Mixture(self.space, len(self.leaves), [deepcopy(leaf.network, memo) for leaf in self.leaves])
        copy.assignment = deepcopy(self.assignment)
        copy.settle()
        copy.activate(self.active)
        return copy.train(self.training)

    def _metadata(self) -> dict[str, str]:
        return {**super()._metadata(), ENTRY: json.dumps(len(self.leaves))}

    def _tensors(self) -> dict[str, Tensor]:
        state = self.assignment_state()
        return {**super()._tensors(), **{_PREFIX + name: tensor for name, tensor in state.items()}}

    def _take(self, tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> None:
        self.load_assignment({name: tensors.pop(_PREFIX + name) for name in self.assignment_state()})
        super()._take(tensors, metadata)

    def assignment_state(self) -> dict[str, Tensor]:
        """Return a copy of what is known, as tensors."""
        known = self.assignment
        state = {"accuracies": known.accuracies, "factors": known.factors, "sharpness": np.array(known.sharpness)}
        return {name: torch.from_numpy(np.array(value, dtype=np.float64)) for name, value in state.items()}

    def load_assignment(self, state: Mapping[str, Tensor]) -> None:
        """Take what `assignment_state` returned.

        Raises:
            ValueError: It is of another space or another number of supernets.
        """
        found = {name: tensor.double().cpu().numpy().copy() for name, tensor in state.items()}
        if found["accuracies"].shape != self.assignment.accuracies.shape:
            raise ValueError("its assignment is of another space or of another number of supernets")
        self.assignment = Assignment(found["accuracies"], float(found["sharpness"]))
        self.assignment.factors = found["factors"]
        self.settle()
