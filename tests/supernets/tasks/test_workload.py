"""Several networks judged together."""

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.errors import FieldError, WrongResult
from supernets import Classification
from supernets.tasks.workload import Workload
from tests.conformance.test_tasks import Pair, classified


@pytest.fixture
def pair():
    torch.manual_seed(3)
    return Pair()


def test_the_metric_is_the_weighted_mean_of_those_of_the_networks(pair):
    batch, each = classified(), Classification(3)
    first, second = (each.evaluate(network, [batch]).value for network in pair.networks)
    assert first != second
    task = Workload.of_each(each, [3, 1])
    assert task.metric == (("mean_accuracy"), "%", True, 0.0, 100.0)
    assert task.evaluate(pair, [batch]).value == pytest.approx((3 * first + second) / 4)
    assert Workload.of_each(each).evaluate(pair, [batch]).value == pytest.approx((first + second) / 2)
    outcomes = task.outcomes(pair, [batch])
    assert outcomes is not None
    numbers = task.breakdown(outcomes).numbers
    assert numbers == {"accuracy_1": (pytest.approx(first), "%"), "accuracy_2": (pytest.approx(second), "%")}
    assert np.isfinite(outcomes.scores).all()


def test_the_loss_is_the_weighted_mean_of_those_of_the_networks(pair):
    batch, each = classified(), Classification(3)
    output = pair(batch[0])
    losses = [each.loss(output[:, i], batch) for i in range(2)]
    assert torch.isclose(Workload.of_each(each, [3, 1]).loss(output, batch), (3 * losses[0] + losses[1]) / 4)


def test_what_is_not_a_workload_is_refused():
    batch, task = classified(), Workload.of_each(Classification(3), [1, 2, 3])
    with pytest.raises(WrongResult, match="workload needs several networks, such as those of the space joined"):
        task.loss(torch.zeros(12, 3), batch)
    with pytest.raises(WrongResult, match=r"weights: must be one for each of 2 networks, got \[1, 2, 3\]"):
        task.loss(torch.zeros(12, 2, 3), batch)
    with pytest.raises(FieldError, match="must be numbers from 0, not all of them 0"):
        Workload.of_each(Classification(3), [0, 0])
    with pytest.raises(ValueError, match="is not calibrated"):
        task.evaluate(nn.Sequential(nn.BatchNorm1d(3)), [batch])
