"""Settings of a mixture of supernets, see `supernets.experts`; reading them needs neither torch nor numpy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from search_spaces.limits import check_fields, check_most

_MOST = {"experts": 64, "hidden": 2**14, "noise": 100.0}
_STRUCTURE = ("experts", "routing", "hidden", "input")
"""Settings that decide which weights there are and what they compute."""


@dataclass(frozen=True, kw_only=True)
class ExpertsConfig:
    """Settings of a mixture of supernets.

    Args:
        experts: Number of experts of each feed-forward layer; 1 is plain sharing.
        routing: `layer`, one blend for all neurons of a feed-forward layer, or `neuron`, one for each neuron, with
            larger routers.
        hidden: Hidden units of a router.
        start: What further experts begin with: `copies` of the first with noise, or `independent` weights.
        noise: Standard deviation of the noise on copies, as a part of that of the weights. With 0, experts are equal
            at first and routers learn nothing until they differ.
        input: What routers read: the `architecture`, or a `constant`, so that all architectures have one blend (a
            control).
    """

    experts: int = 2
    routing: Literal["layer", "neuron"] = "layer"
    hidden: int = 128
    start: Literal["copies", "independent"] = "copies"
    noise: float = 0.1
    input: Literal["architecture", "constant"] = "architecture"

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        check_fields(
            self,
            [
                ("experts", self.experts >= 1, "at least 1"),
                ("routing", self.routing in ("layer", "neuron"), "layer or neuron"),
                ("hidden", self.hidden >= 1, "at least 1"),
                ("start", self.start in ("copies", "independent"), "copies or independent"),
                ("noise", self.noise >= 0, "0 or more"),
                ("input", self.input in ("architecture", "constant"), "architecture or constant"),
            ],
        )

    def structure(self) -> str:
        """Return the settings that decide what weights mean, as JSON, which the file of a supernet has."""
        return json.dumps({name: getattr(self, name) for name in _STRUCTURE})
