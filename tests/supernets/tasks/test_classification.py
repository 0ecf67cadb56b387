"""Classification: cross entropy, smoothing, soft labels, top-1."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import recall_score
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from nas.objectives import top1_percent
from supernets import Classification

LOGITS = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 4
BATCH = (torch.zeros(8, 2), LABELS)


def test_the_loss_is_the_smoothed_cross_entropy():
    for smoothing in (0.0, 0.1):
        expected = F.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
        assert torch.equal(Classification(label_smoothing=smoothing).loss(LOGITS, BATCH), expected)


def test_a_teacher_stands_instead_of_the_labels_and_is_not_smoothed():
    teacher = LOGITS.flip(0)
    expected = F.cross_entropy(LOGITS, teacher.softmax(1))
    assert torch.equal(Classification(label_smoothing=0.1).loss(LOGITS, BATCH, teacher=teacher), expected)


def test_plain_classification_has_no_smoothing():
    assert Classification(4, label_smoothing=0.1).plain() == Classification(4)


def test_top1_is_the_share_of_right_answers():
    right = LOGITS.argmax(1)
    answers = torch.cat([right[:3], (right[3:] + 1) % 4])
    batches = [(LOGITS[:5], answers[:5]), (LOGITS[5:], answers[5:])]
    assert Classification().evaluate(nn.Identity(), batches).value == pytest.approx(37.5)
    assert top1_percent(nn.Identity(), batches) == pytest.approx(37.5)


def test_class_weights_multiply_the_losses_of_the_examples_of_a_class():
    weights = (1.0, 0.5, 4.0, 2.0)
    task = Classification(4, label_smoothing=0.1, class_weights=weights)
    factors = torch.tensor(weights)[LABELS]
    losses = F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1, reduction="none")
    assert float(task.loss(LOGITS, BATCH)) == pytest.approx(float((factors * losses).mean()))
    assert torch.equal(task.losses(LOGITS, BATCH), factors * losses)
    teacher = LOGITS.flip(0)
    soft = F.cross_entropy(LOGITS, teacher.softmax(1), reduction="none")
    assert float(task.loss(LOGITS, BATCH, teacher=teacher)) == pytest.approx(float((factors * soft).mean()))
    of_examples = torch.rand(8)
    expected = float((of_examples * factors * losses).mean())
    assert float(task.loss(LOGITS, BATCH, weights=of_examples)) == pytest.approx(expected)
    assert task.plain().class_weights == weights
    assert torch.equal(task.output_errors(LOGITS, BATCH), factors * Classification(4).output_errors(LOGITS, BATCH))


def test_balanced_weights_are_those_of_scikit_learn_and_have_a_mean_of_one():
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    found = Classification(3, class_weights="balanced", class_counts=[70, 20, 10]).class_weights
    assert found == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=labels))
    assert np.array(found)[labels].mean() == pytest.approx(1.0)
    even = Classification(2, class_weights="balanced", class_counts=[5, 5])
    assert even.class_weights == (1.0, 1.0)


def test_the_balanced_accuracy_is_that_of_scikit_learn():
    task = Classification(4, metric="balanced_accuracy")
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 3])
    found = task.evaluate(nn.Identity(), [(LOGITS[:5], labels[:5]), (LOGITS[5:], labels[5:])]).value
    predicted = LOGITS.argmax(1)
    recalls = recall_score(labels, predicted, labels=[0, 1, 3], average=None)
    assert found == pytest.approx(100 * recalls.mean())
    assert found != pytest.approx(float(100 * (predicted == labels).float().mean()))
    outcomes = task.outcomes(nn.Identity(), [(LOGITS, labels)])
    assert outcomes.scores.mean() == pytest.approx(found)
    assert task.breakdown(outcomes).numbers.keys() == {"accuracy"}
    assert Classification(4).breakdown(outcomes).numbers["balanced_accuracy"][0] == pytest.approx(found)
    assert task.metric.name == "balanced_accuracy"
    assert task.plain().metric == task.metric


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"metric": "recall"}, "metric must be one of accuracy, balanced_accuracy, got 'recall'"),
        ({"class_weights": "balanced"}, "class_weights balanced needs the number of examples of each class"),
        ({"classes": 3, "class_weights": [1, 2]}, "a list of one number for each of the 3 classes"),
        ({"class_weights": "even"}, "must be balanced or a list"),
        ({"class_weights": [1, 0]}, "must be more than 0 for each class"),
        ({"class_weights": [1, float("nan")]}, "must be more than 0 for each class"),
        ({"class_weights": "balanced", "class_counts": [3, 0]}, "class_counts must be at least 1 for each class"),
        ({"label_smoothing": 1.0}, "label_smoothing must be from 0 to below 1, got 1.0"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Classification(**arguments)


def test_a_network_with_another_number_of_classes_is_refused():
    with pytest.raises(ValueError, match="the network gives 4 of them, the task has 10"):
        Classification(10).loss(LOGITS, BATCH)
