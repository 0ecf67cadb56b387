"""Progressive guidance: the dearest architecture teaches random ones, and the last of these the cheapest.

Paper: EQ-Net, arXiv 2308.07650, section 3.3 (group progressive guidance): of the highest bits, random bits and the
lowest bits, in this order, the first learns from the targets, and every other one from the targets and from the one
before it. The published weight of both is 0.5, which is `train.kd_weight`.
Differs: dear and cheap are those of the whole space, its sizes included; of one network with bits they are as
published.
"""

from dataclasses import dataclass

from search_spaces.errors import FieldError
from supernets.samplers.sandwich import Sandwich


@dataclass(frozen=True, kw_only=True)
class ProgressiveGuidance(Sandwich):
    """The architectures of a sandwich; each is taught by the one before it.

    Args:
        space: Space to draw from.
        subnets: Architectures of one step, at least 3.
    """

    subnets: int = 3

    distillation = "progressive"  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.subnets < 3:
            least = "the largest, a random one and the smallest"
            raise FieldError("subnets", f"must be at least 3, {least}, got {self.subnets}")
