"""What every task promises."""

import json

import pytest
import torch
from torch import nn

from service import catalogue
from supernets import Classification, Task
from supernets.tasks import Language, MaskedLanguage, Translation
from supernets.tasks.nodes import NodeLabels, Nodes
from supernets.tasks.workload import Workload
from tests.plugin.regression import Regression as Progress
from tests.supernets.regression import FEATURES, Regression
from tests.supernets.tasks.writers import VOCABULARY, Recurrent, texts


def classified():
    labels = torch.arange(12) % 3
    return torch.randn(12, FEATURES, generator=torch.Generator().manual_seed(0)), labels


def measured():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, FEATURES, generator=generator), torch.randn(12, 1, generator=generator)


def labelled():
    labels = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 0], [0, 1, 0]]).repeat(3, 1).float()
    return torch.randn(12, FEATURES, generator=torch.Generator().manual_seed(0)), labels


def written():
    """Rows of as many tokens each: tasks of tokens take the mean over tokens, which then is that over examples."""
    target = torch.randint(4, VOCABULARY, (12, 6), generator=torch.Generator().manual_seed(0))
    target[:, -1] = 2
    return target.masked_fill(target == 2, 1).roll(1, 1), target


def translated():
    return written()[1].flip(0), *written()


class Pair(nn.Module):
    """Two linear networks side by side."""

    def __init__(self):
        super().__init__()
        self.networks = nn.ModuleList([nn.Linear(FEATURES, 3) for _ in range(2)])

    def forward(self, x):
        return torch.stack([network(x) for network in self.networks], dim=1)


EXAMPLES = {
    "workload": (Workload.of_each(Classification(3), [2, 1]), classified(), Pair()),
    "smoothed workload": (Workload.of_each(Classification(3, label_smoothing=0.1)), classified(), Pair()),
    "classification": (Classification(3), classified(), 3),
    "smoothed classification": (Classification(3, label_smoothing=0.1), classified(), 3),
    "weighted classification": (
        Classification(3, metric="balanced_accuracy", class_weights=[0.5, 2, 1]),
        classified(),
        3,
    ),
    "regression": (Regression(), measured(), 1),
    "regression with outcomes": (Progress(), measured(), 1),
    "nodes": (Nodes(3, label_smoothing=0.1), classified(), 3),
    "node_labels": (NodeLabels(classes=3), labelled(), 3),
    "language": (Language(label_smoothing=0.1), written(), nn.Embedding(VOCABULARY, VOCABULARY)),
    "masked_language": (MaskedLanguage(), written(), nn.Embedding(VOCABULARY, VOCABULARY)),
    "translation": (Translation(texts=texts), translated(), Recurrent()),
    "translation by perplexity": (Translation(texts=texts, metric="perplexity"), translated(), Recurrent()),
}
"""A task, a batch, and a network or the outputs of a linear one."""


@pytest.fixture(params=EXAMPLES)
def case(request):
    task, batch, outputs = EXAMPLES[request.param]
    torch.manual_seed(0)
    network = nn.Linear(FEATURES, outputs) if isinstance(outputs, int) else outputs
    return task, batch, network, network(*task.inputs(batch)).detach()


def test_every_listed_task_is_looked_at():
    assert set(catalogue.TASKS) <= set(EXAMPLES)
    for name in catalogue.TASKS:
        assert isinstance(EXAMPLES[name][0], catalogue.resolve("task", name))


def test_a_task_says_what_it_judges_by(case):
    task = case[0]
    assert isinstance(task.metric.name, str)
    assert isinstance(task.metric.maximise, bool)
    assert task.metric.low < task.metric.high
    assert task.examples


def test_a_loss_is_the_mean_over_examples(case):
    task, batch, _, output = case
    whole = task.loss(output, batch)
    assert whole.shape == ()
    count = len(output)
    assert task.loss(output, batch, weights=torch.ones(count)) == pytest.approx(float(whole), abs=1e-6)
    alone = [task.loss(output, batch, weights=count * torch.eye(count)[i]) for i in range(count)]
    assert float(sum(alone)) / count == pytest.approx(float(whole), abs=1e-5)
    one = tuple(tensor[:1] for tensor in batch)
    assert float(task.loss(output[:1], one)) == pytest.approx(float(alone[0]), abs=1e-5)


def test_nothing_is_left_to_learn_from_a_teacher_with_the_same_output(case):
    task, batch, _, output = case
    same = output.clone().requires_grad_()
    task.loss(same, batch, teacher=output).backward()
    assert same.grad.abs().max() < 1e-6
    other = output.clone().requires_grad_()
    task.loss(other, batch, teacher=output + torch.randn(output.shape)).backward()
    assert other.grad.abs().max() > 1e-3


def test_output_errors_are_the_gradient_norms_of_single_examples(case):
    task, batch, _, output = case
    found = task.output_errors(output, batch)
    assert found.shape == (len(output),)
    assert not found.requires_grad
    by_definition = Task.output_errors(task.plain(), output, batch)
    assert torch.allclose(found, by_definition, atol=1e-5)


def test_losses_of_single_examples_have_the_loss_as_their_mean(case):
    task, batch, _, output = case
    losses = task.losses(output, batch)
    assert losses.shape == (len(output),)
    assert float(losses.detach().mean()) == pytest.approx(float(task.loss(output, batch)), abs=1e-5)


def test_the_plain_task_is_plain(case):
    task, batch, _, output = case
    plain = task.plain()
    assert torch.equal(plain.plain().loss(output, batch), plain.loss(output, batch))
    assert plain.metric == task.metric


def test_an_estimate_lies_within_the_range_of_the_metric(case):
    task, batch, network, _ = case
    found = task.evaluate(network, [batch])
    assert task.metric.low <= found.value <= task.metric.high
    assert task.evaluate(network, [batch]) == found
    halves = [tuple(tensor[:6] for tensor in batch), tuple(tensor[6:] for tensor in batch)]
    assert task.evaluate(network, halves).value == pytest.approx(found.value, abs=1e-4)
    assert not network.training


def test_the_mean_of_the_scores_is_the_metric(case):
    task, batch, network, _ = case
    halves = [tuple(tensor[:6] for tensor in batch), tuple(tensor[6:] for tensor in batch)]
    outcomes = task.outcomes(network, halves)
    if outcomes is None:
        return
    assert outcomes.scores.shape == (len(batch[0]),)
    assert outcomes.scores.mean() == pytest.approx(task.evaluate(network, halves).value, rel=1e-5)
    assert not network.training
    found = task.breakdown(outcomes)
    assert type(found).from_json(json.loads(json.dumps(found.to_json()))).to_json() == found.to_json()


def test_what_cannot_be_judged_is_refused(case):
    task, batch, network, _ = case
    with pytest.raises(ValueError, match="at least one"):
        task.evaluate(network, [])
    uncalibrated = nn.Sequential(nn.BatchNorm1d(FEATURES), network)
    with pytest.raises(ValueError, match="not calibrated"):
        task.evaluate(uncalibrated, [batch])
