"""How weights and inputs of layers may be rounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from search_spaces.errors import FieldError
from search_spaces.limits import check_fields, rise

FEWEST_BITS, MOST_BITS = 2, 8
KINDS = ("convolution", "linear")


@dataclass(frozen=True, kw_only=True)
class PrecisionConfig:
    """Bits of weights and inputs as decisions of the space.

    Bits are simulated: networks compute with floating point numbers that are rounded to as many values as the bits
    have. Measured latency is that of the network without rounding.

    Args:
        weights: Bits that weights of a layer choose from, from 2 to 8. One number is no decision.
        activations: Bits that inputs of a layer choose from, from 2 to 8. One number is no decision.
        granularity: Whether the weights of a layer have one scale (`tensor`), one for each output channel (`channel`),
            or the architecture says which (`both`).
        symmetry: Whether ranges of numbers have 0 in the middle, or at their end where no number is below it
            (`symmetric`), are shifted by a learned offset (`asymmetric`), or the architecture says which of weights and
            which of inputs (`both`).
        per: Whether every `layer` has bits of its own, or all layers of a `stage` have the same.
        edges: Bits of weights and inputs of the first and the last layer.
        kinds: Layers that are rounded: of `convolution` and `linear`. Others are not.
        networks: `all` architectures with all bits, or only the `largest`, of which the bits alone are decided.
        start: Folder of a job without bits, or the file of its supernet, whose weights training begins with; `null`
            for those that the space begins with.
    """

    weights: tuple[int, ...] = (2, 4, 8)
    activations: tuple[int, ...] = (4, 8)
    granularity: Literal["tensor", "channel", "both"] = "tensor"
    symmetry: Literal["symmetric", "asymmetric", "both"] = "symmetric"
    per: Literal["layer", "stage"] = "layer"
    edges: int = 8
    kinds: tuple[str, ...] = KINDS
    networks: Literal["all", "largest"] = "all"
    start: str | None = None

    def __post_init__(self) -> None:
        bits = f"rising whole numbers from {FEWEST_BITS} to {MOST_BITS}"
        for field in ("weights", "activations"):
            if not (rise(found := list(getattr(self, field))) and found[0] >= FEWEST_BITS and found[-1] <= MOST_BITS):
                raise FieldError(field, f"must be {bits}, got {found}")
        check_fields(
            self,
            [
                ("granularity", self.granularity in ("tensor", "channel", "both"), "tensor, channel or both"),
                ("symmetry", self.symmetry in ("symmetric", "asymmetric", "both"), "symmetric, asymmetric or both"),
                ("per", self.per in ("layer", "stage"), "layer or stage"),
                ("edges", FEWEST_BITS <= self.edges <= MOST_BITS, f"from {FEWEST_BITS} to {MOST_BITS}"),
                ("networks", self.networks in ("all", "largest"), "all or largest"),
                ("start", self.start is None or bool(self.start), "a folder or file, or null"),
            ],
        )
        if not self.kinds or len(set(self.kinds)) < len(self.kinds) or not set(self.kinds) <= set(KINDS):
            others = "; other layers have no precision of their own"
            raise FieldError("kinds", f"must be one or both of {', '.join(KINDS)}{others}, got {list(self.kinds)}")
