"""A task: numbers are learned by their squared error and judged by how much of their variance is explained."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from supernets.calibration import require_calibrated
from supernets.estimate import Estimate
from supernets.tasks import Batch, Metric, Task


class Regression(Task):
    """Batches of inputs [B, ...] and numbers [B, K]; networks give [B, K]."""

    metric = Metric("r2", "", maximise=True, high=1.0)
    examples = "patients"

    def losses(self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None) -> Tensor:
        """Return the squared error of each example [B]."""
        return (output - (batch[-1] if teacher is None else teacher)).square().mean(1)

    def loss(
        self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        losses = self.losses(output, batch, teacher=teacher)
        return (losses if weights is None else losses * weights).mean()

    @torch.inference_mode()
    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return 1 - (squared errors) / (squared distances from the mean)."""
        require_calibrated(model)
        model.eval()
        pairs = [(model(*self.inputs(batch)), batch[-1]) for batch in batches]
        output, truth = (torch.cat(parts) for parts in zip(*pairs))
        return Estimate(1.0 - float((output - truth).square().sum() / (truth - truth.mean(0)).square().sum()))
