"""A task: numbers are learned by their squared error and judged by how much of their variance is explained."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from supernets.calibration import require_calibrated
from supernets.estimate import Estimate
from supernets.tasks import Batch, Breakdown, Metric, Outcomes, Task


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

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        """Return 1 - (squared errors) / (squared distances from the mean)."""
        output, truth = self._found(model, batches)
        return Estimate(1.0 - float((output - truth).square().sum() / (truth - truth.mean(0)).square().sum()))

    def outcomes(self, model: nn.Module, batches: Iterable[Batch]) -> Outcomes:
        """Return 1 - (squared error) / (mean squared distance from the mean) of each patient; their mean is R2."""
        output, truth = (column.double().cpu() for column in self._found(model, batches))
        distance = (truth - truth.mean(0)).square().sum() / len(truth)
        scores = 1.0 - (output - truth).square().sum(1) / distance
        return Outcomes(scores.numpy(), {"truth": truth.numpy(), "found": output.numpy()})

    def breakdown(self, outcomes: Outcomes, names: Sequence[str] = ()) -> Breakdown:
        """Return the mean absolute error."""
        error = abs(outcomes.columns["found"] - outcomes.columns["truth"]).mean()
        return Breakdown(numbers={"mean_absolute_error": (float(error), "")})

    @torch.inference_mode()
    def _found(self, model: nn.Module, batches: Iterable[Batch]) -> tuple[Tensor, Tensor]:
        """Return what a model gives for all patients, and what is true."""
        require_calibrated(model)
        model.eval()
        pairs = [(model(*self.inputs(batch)), batch[-1]) for batch in batches]
        if not pairs:
            raise ValueError("R2 needs at least one patient, got none")
        output, truth = (torch.cat(parts) for parts in zip(*pairs))
        return output, truth
