"""Labels of nodes: micro-F1 against its definition, and outcomes whose mean it is."""

import numpy as np
import pytest
import torch
from torch import nn

from supernets.tasks.nodes import NodeLabels, Nodes


class Table(nn.Module):
    """A network that gives known logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, nodes: torch.Tensor) -> torch.Tensor:
        return self.logits[nodes]


def labelled(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(10, 4, generator=generator), torch.randint(0, 2, (10, 4), generator=generator).float()


def micro_f1(told: np.ndarray, there: np.ndarray) -> float:
    right = (told & there).sum()
    precision, recall = right / told.sum(), right / there.sum()
    return 100 * 2 * precision * recall / (precision + recall)


def test_micro_f1_is_the_harmonic_mean_of_precision_and_recall_over_all_labels():
    logits, labels = labelled()
    nodes = torch.tensor([0, 2, 3, 7])
    found = NodeLabels(classes=4).evaluate(Table(logits), [(nodes, labels[nodes])]).value
    assert found == pytest.approx(micro_f1((logits[nodes] > 0).numpy(), (labels[nodes] > 0).numpy()))


def test_scores_change_with_a_node_as_the_f1_does():
    """The expansion of nodes is the derivative of the F1 by the weights of nodes."""
    logits, labels = labelled(1)
    outcomes = NodeLabels().outcomes(Table(logits), [(torch.arange(10), labels)])
    right, told, there = (outcomes.columns[name].astype(float) for name in ("right", "predicted", "present"))
    for node in range(10):
        weights = np.full(10, 1.0)
        weights[node] += 1e-6
        shifted = 200 * (weights * right).sum() / (weights * (told + there)).sum()
        slope = (shifted - outcomes.scores.mean()) / 1e-6
        assert (outcomes.scores[node] - outcomes.scores.mean()) / 10 == pytest.approx(slope, abs=1e-3)


def test_no_labels_at_all_are_an_f1_of_zero():
    task, nodes = NodeLabels(), torch.arange(3)
    nothing = Table(torch.full((3, 2), -1.0))
    batches = [(nodes, torch.zeros(3, 2))]
    assert task.evaluate(nothing, batches).value == 0.0
    assert task.outcomes(nothing, batches).scores.tolist() == [0.0, 0.0, 0.0]


def test_the_loss_is_that_of_the_nodes_of_the_batch_alone():
    logits = torch.randn(5, 3, requires_grad=True)
    nodes = torch.tensor([1, 4])
    Nodes(3).loss(Table(logits)(nodes), (nodes, torch.tensor([0, 2]))).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum(1).gt(0).tolist() == [False, True, False, False, True]


def test_nodes_stay_nodes_without_label_smoothing():
    assert type(Nodes(3, label_smoothing=0.1).plain()) is Nodes
    assert Nodes(3).examples == "nodes"


def test_networks_with_other_outputs_are_refused():
    logits, labels = labelled()
    with pytest.raises(ValueError, match="the network gives 4 labels, the task has 5"):
        NodeLabels(classes=5).loss(logits, (torch.arange(10), labels))
