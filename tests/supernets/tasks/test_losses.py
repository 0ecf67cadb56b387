"""Losses of single examples, by which architectures are scored without training."""

from collections.abc import Iterable
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.scoring import scored_batch
from proxies import Score, score
from proxies.grasp import Grasp
from proxies.snip import Snip
from supernets.estimate import Estimate
from supernets.tasks import Batch, Classification, Metric, Task


class Regression(Task):
    """Says its mean loss alone, as a task of one's own may."""

    metric: ClassVar[Metric] = Metric("error", "", maximise=False)

    def loss(
        self, output: Tensor, batch: Batch, *, teacher: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        losses = (output - batch[-1]).square().mean(1)
        return losses.mean() if weights is None else (losses * weights).mean()

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Estimate:
        raise NotImplementedError("only losses are asked for here")


class Direct(Regression):
    def losses(self, output: Tensor, batch: Batch) -> Tensor:
        return (output - batch[-1]).square().mean(1)


def vectors() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=generator), torch.randn(6, 2, generator=generator)


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).double()


def test_losses_that_a_task_does_not_give_are_those_that_its_mean_weighs() -> None:
    batch = vectors()
    output = torch.randn(6, 2, requires_grad=True)
    expected = Direct().losses(output, batch)
    losses = Regression().losses(output, batch)
    assert losses.tolist() == pytest.approx(expected.tolist())
    gradients = [torch.autograd.grad(x.sum(), output)[0] for x in (losses, expected)]
    torch.testing.assert_close(*gradients)


def test_scores_by_such_losses_are_the_same() -> None:
    """Second derivatives too."""
    proxies = {"snip": Snip(), "grasp": Grasp()}
    found, expected = (score(perceptron(), scored_batch(t, vectors()), proxies) for t in (Regression(), Direct()))
    for name, one in expected.items():
        assert isinstance(one, Score), one
        assert found[name].value == pytest.approx(one.value)


def test_losses_of_a_classification_are_cross_entropies_and_their_classes_are_groups() -> None:
    output, labels = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    batch = (torch.zeros(5, 1), labels)
    assert torch.equal(Classification().losses(output, batch), F.cross_entropy(output, labels, reduction="none"))
    assert torch.equal(Classification().groups(batch), labels)
    smooth = Classification(label_smoothing=0.1)
    assert smooth.losses(output, batch).mean().item() == pytest.approx(smooth.loss(output, batch).item())
    assert Regression().groups(batch) is None


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_label_outside_the_classes_is_named(wrong: int) -> None:
    labels = torch.tensor([0, wrong])
    with pytest.raises(ValueError, match=f"label {wrong} is outside the 3 classes"):
        Classification().losses(torch.randn(2, 3), (torch.zeros(2, 1), labels))


def test_scores_go_by_the_loss_without_label_smoothing() -> None:
    batch = (vectors()[0].double(), torch.tensor([0, 1, 1, 0, 1, 0]))
    found = [
        score(perceptron(), scored_batch(Classification(label_smoothing=s), batch), {"snip": Snip()})["snip"]
        for s in (0.0, 0.3)
    ]
    assert found[0] == found[1]
