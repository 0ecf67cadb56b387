"""Accuracy of the extracted and calibrated subnet."""

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from nas.objectives.objective import Objective, Role
from search_spaces import Architecture
from supernets.estimate import Estimate
from supernets.tasks.classification import top1_percent


class Accuracy(Objective):
    """Top-1 accuracy on the validation split.

    Args:
        subnet: Gives the calibrated subnet of an architecture, see `nas.subnets.Subnets`.
        batches: Makes the validation images and labels, the same at every call; given a share below 1, of a part of
            them.
    """

    name, unit, maximise = "accuracy", "%", True
    role: Role = "quality"
    uses_fidelity, low, high = True, 0.0, 100.0

    def __init__(
        self, subnet: Callable[[Architecture], nn.Module], batches: Callable[..., Iterable[tuple[Tensor, Tensor]]]
    ) -> None:
        self.subnet, self.batches = subnet, batches

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        batches = self.batches() if fidelity == 1 else self.batches(fidelity)
        return Estimate(top1_percent(self.subnet(architecture), batches))
