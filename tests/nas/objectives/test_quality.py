"""Quality is whatever its task judges by."""

import math

import torch
from torch import nn

from nas import Estimate
from nas.objectives import Quality, describe
from search_spaces import Architecture
from supernets.tasks import Classification, Metric, Task


class Regression(Task):
    """Vectors and numbers, judged by the mean squared error."""

    metric = Metric("error", "", maximise=False, low=0.0)
    examples = "rows"

    def loss(self, output, batch, *, teacher=None, weights=None):
        return (output - batch[-1]).square().mean()

    def evaluate(self, model, batches):
        return Estimate(float(torch.stack([self.loss(model(*self.inputs(batch)), batch) for batch in batches]).mean()))


class Doubles(nn.Module):
    def forward(self, x):
        return 2 * x


def test_a_quality_is_named_and_directed_by_the_metric_of_its_task():
    quality = Quality(Regression(), lambda architecture: Doubles(), lambda fidelity: [])
    assert describe(quality, None) == {
        "name": "error",
        "unit": "",
        "maximise": False,
        "role": "quality",
        "source": "measured",
        "bound": [None, None],
    }
    assert (quality.low, quality.high) == (0.0, math.inf)
    accuracy = Quality(Classification(), lambda architecture: Doubles(), lambda fidelity: [])
    assert (accuracy.name, accuracy.unit, accuracy.maximise, accuracy.low, accuracy.high) == (
        *("accuracy", "%", True),
        *(0.0, 100.0),
    )


def test_the_task_judges_the_subnet_on_the_share_of_the_data_that_is_asked_for():
    asked = []

    def batches(fidelity):
        asked.append(fidelity)
        return [(torch.ones(4), torch.full((4,), 5.0))] * round(4 * fidelity)

    quality = Quality(Regression(), lambda architecture: Doubles(), batches)
    assert quality.uses_fidelity
    assert quality.evaluate(Architecture({})).value == 9.0
    assert quality.evaluate(Architecture({}), 0.5).value == 9.0
    assert asked == [1.0, 0.5]
