"""What networks of a space only simulate, so that whoever measures them must know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.architecture import Choice
from search_spaces.bars import Bars

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """Something that networks only simulate.

    Args:
        what: What it is, and what is measured instead, for people.
        real: Makes of a plain network the one whose latency is measured.
        bars: Gives what is simulated in each layer of an architecture.
    """

    what: str
    real: Callable[[nn.Module], nn.Module]
    bars: Callable[[Mapping[str, Choice]], Bars]


def measurable(simulated: Simulated | None, network: nn.Module) -> nn.Module:
    """Return the network whose latency stands for that of a plain network."""
    return network if simulated is None else simulated.real(network)


def simulation_of(simulated: Simulated | None) -> dict[str, str]:
    """Return what the conditions of a measurement say of it; nothing where nothing is simulated."""
    return {} if simulated is None else {"simulated": simulated.what}
