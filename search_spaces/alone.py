"""How the paper of a space trains one of its architectures alone, from fresh weights, once it is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_spaces.architecture import Architecture, Choice

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Alone:
    """The training of one architecture from fresh weights, as the paper of its space does it.

    Attributes:
        epochs: Published passes over the training data; None where nothing is published.
        options: Options of the function that returned the space, with which it returns that of the networks that are
            trained alone: mostly larger ones than those of the search.
        network: Makes the network of an architecture with what only this training has, such as a further classifier,
            whose output it then gives behind the first one; None for the plain network.
        further: Weight of the losses of further outputs.
        sharing: Gives the keys of parts of the network of an architecture, by the names of their modules: a part may
            begin with the weights of a part of another architecture that has the same name, key and shapes; None
            where nothing is handed on.
        begin_epoch: Told the network, and which part of its training is over, from 0 to 1; None where nothing in a
            network changes meanwhile.
    """

    epochs: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    network: Callable[[Architecture], nn.Module] | None = None
    further: float = 0.0
    sharing: Callable[[Mapping[str, Choice]], Mapping[str, str]] | None = None
    begin_epoch: Callable[[nn.Module, float], None] | None = None
