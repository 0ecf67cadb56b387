"""Classification: cross entropy, smoothing, soft labels, top-1."""

import pytest
import torch
import torch.nn.functional as F
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"label_smoothing": 1.0}, "label_smoothing must be from 0 to below 1, got 1.0"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Classification(**arguments)


def test_a_network_with_another_number_of_classes_is_refused():
    with pytest.raises(ValueError, match="the network gives 4 of them, the task has 10"):
        Classification(10).loss(LOGITS, BATCH)
