"""The protocols of samplers, and what a training offers them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import nn

from search_spaces import Architecture, Space

GIVEN = ("space", "subnets", "cost")
"""Arguments of samplers that are not options: the training fills them in, as far as a sampler takes them."""


class Sampler(Protocol):
    """Decides which architectures a training step runs."""

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        """The architectures of one step, in training order; never empty."""
        ...


@runtime_checkable
class LearnedSampler(Protocol):
    """A sampler whose distribution follows what training shows it.

    `observe` follows the `draw` of every step, `end_epoch` the last step of every epoch. What `draw` gives depends on
    the generator and on the state alone, and the state on what was observed, so a training can be resumed.
    """

    def draw(self, generator: np.random.Generator) -> list[Architecture]:
        """The architectures of one step, in training order; never empty."""
        ...

    def observe(self, architectures: Sequence[Architecture], network: nn.Module) -> None:
        """Look at the gradients of a step, clipped, before the optimizer uses them; never waits for the device."""
        ...

    def end_epoch(self, progress: float) -> dict[str, float]:
        """Change the distribution for the next epoch.

        Args:
            progress: Part of the training that was done when the epoch that now ends began: t/E for epoch t.

        Returns:
            Numbers for the log by name, such as the new probabilities.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides later draws, as tensors, numbers and lists and mappings of them."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a state that `state_dict` gave."""
        ...


def exact_macs(space: Space) -> Callable[[Architecture], float]:
    """The exact multiply-accumulates of architectures of a space."""
    return lambda architecture: float(space.costs([architecture])["macs"][0])


def offered(space: Space, subnets: int | None = None) -> dict[str, Any]:
    """Return what a training gives to samplers by name, as far as they take it.

    Args:
        space: Where to draw from; the offered `cost` are its exact multiply-accumulates.
        subnets: Architectures of one step; None for the sampler's own number.
    """
    given: dict[str, Any] = {"space": space, "cost": exact_macs(space)}
    return given if subnets is None else {**given, "subnets": subnets}
