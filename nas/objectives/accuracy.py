"""Accuracy of the extracted and calibrated subnet."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from nas.objectives.objective import Objective, Role
from search_spaces import Architecture
from supernets import require_calibrated
from supernets.estimate import Estimate


@torch.inference_mode()
def top1_percent(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Share of images classified right, in percent.

    Raises:
        ValueError: The model is not calibrated, or there are no images.
    """
    require_calibrated(model)
    model.eval()
    right: Tensor | float = 0.0
    seen = 0
    for images, labels in batches:
        right = right + (model(images).argmax(dim=1) == labels).sum()
        seen += len(labels)
    if not seen:
        raise ValueError("an accuracy needs at least one image, got none")
    return 100.0 * float(right) / seen


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
