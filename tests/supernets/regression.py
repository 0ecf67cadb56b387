"""Regression of vectors: a task and a space that have nothing to do with images or classes."""

import torch
import torch.nn.functional as F
from torch import nn

from search_spaces import Decision, Space
from search_spaces.elastic import ElasticLinear, Size
from supernets import Metric, Task, require_calibrated
from supernets.estimate import Estimate
from tests.supernets.helpers import Rows

FEATURES = 5


class Regression(Task):
    """Batches of vectors [B, F] and numbers [B, 1]; squared error, and R² in percent."""

    metric = Metric("r2", "%", maximise=True, high=100.0)
    examples = "measurements"

    def loss(self, output, batch, *, teacher=None, weights=None):
        target = batch[-1] if teacher is None else teacher
        losses = F.mse_loss(output, target, reduction="none").flatten(1).mean(1)
        return losses.mean() if weights is None else (losses * weights).mean()

    @torch.inference_mode()
    def evaluate(self, model, batches):
        require_calibrated(model)
        pairs = [(model.eval()(*self.inputs(batch)), batch[-1]) for batch in batches]
        if not pairs:
            raise ValueError("an R² needs at least one measurement, got none")
        found, wanted = (torch.cat(parts) for parts in zip(*pairs))
        return Estimate(100 * float(1 - F.mse_loss(found, wanted) / wanted.var(correction=0)))


def perceptrons() -> Space:
    """Perceptrons with two hidden layers of 4, 8 or 16."""
    first, second = (Size(name, {4: 4, 8: 8, 16: 16}) for name in ("first", "second"))

    def build() -> nn.Module:
        hidden = [ElasticLinear(FEATURES, first), nn.Tanh(), ElasticLinear(first, second), nn.Tanh()]
        return nn.Sequential(*hidden, ElasticLinear(second, 1))

    return Space(
        name="perceptrons", decisions=tuple(Decision(name, (4, 8, 16)) for name in ("first", "second")), build=build
    )


def measurements(n: int = 256) -> Rows:
    """A curved function of the features, without noise."""
    features = torch.randn(n, FEATURES, generator=torch.Generator().manual_seed(0))
    return Rows(features, (features[:, :1] + torch.sin(features[:, 1:2]) - features[:, 2:3]) / 2)
