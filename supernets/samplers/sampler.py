"""The protocol of samplers, and what a training offers them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from search_spaces import Architecture, Space

if TYPE_CHECKING:
    from torch import nn

GIVEN = ("space", "subnets", "cost")
"""Arguments of samplers that are not options: the training fills them in, as far as a sampler takes them."""


@runtime_checkable
class Sampler(Protocol):
    """A sampler decides which architectures a training step runs.

    Samplers inherit from this class and write `draw`. One that learns writes the others too: `observe` follows the
    `draw` of every step, `end_epoch` the last step of every epoch. What `draw` gives depends on the generator and on
    the state alone, and the state on what was observed, so a training can be resumed.

    Attributes:
        distillation: What the architectures of a step learn from: the targets (`none`), or the output of the first
            architecture, for all but the first (`in_place`), or that of the architecture before (`progressive`).
        average_losses: Whether the losses of a step are averaged instead of added up.
        draws_from_parts: Whether the sampler can draw from the parts of a space that a schedule such as progressive
            shrinking opens; False where the sampler itself says which sizes are trained together.
    """

    distillation: Literal["none", "in_place", "progressive"] = "none"
    average_losses: bool = False
    draws_from_parts: bool = True

    @abstractmethod
    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        """Return the architectures of one step, in training order; never empty."""
        ...

    def observe(self, architectures: Sequence[Architecture], network: nn.Module) -> None:
        """Look at the gradients of a step, clipped, before the optimizer uses them; never waits for the device."""
        return

    def end_epoch(self, progress: float) -> dict[str, float]:
        """Change the distribution for the next epoch.

        Args:
            progress: Part of the training that was done when the epoch that now ends began: t/E for epoch t.

        Returns:
            Numbers for the log by name, such as the new probabilities; none where nothing is learned.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides later draws, as tensors, numbers and lists and mappings of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a state that `state_dict` gave."""
        return


MakeSampler = Callable[[Space, int | None], Sampler]
"""Makes the sampler of a part of a space for so many subnets a step; None for the sampler's own number."""


def exact_cost(space: Space) -> Callable[[Architecture], float]:
    """Return what gives the exact multiply-accumulates of architectures, or the last cost of a space without them."""

    def cost(architecture: Architecture) -> float:
        return float(space.costs([architecture])[usual_cost(space)][0])

    return cost


def usual_cost(space: Space) -> str:
    """Return the name of the cost that architectures are told apart by: multiply-accumulates, or the last without."""
    return "macs" if "macs" in space.cost_names else space.cost_names[-1]


def offered(space: Space, subnets: int | None = None) -> dict[str, Any]:
    """Return what a training gives to samplers by name, as far as they take it.

    Args:
        space: Space to draw from; the offered `cost` are its exact multiply-accumulates.
        subnets: Architectures of one step; None for the sampler's own number.
    """
    given: dict[str, Any] = {"space": space, "cost": exact_cost(space)}
    return given if subnets is None else {**given, "subnets": subnets}
