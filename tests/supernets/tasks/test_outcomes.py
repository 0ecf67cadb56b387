"""What is kept of single examples, and what classification reads from it."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, recall_score
from torch import nn

from supernets import Classification
from supernets.tasks import Breakdown, Outcomes

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.cat([torch.zeros(40), torch.ones(15), torch.full((5,), 3)]).long()  # none of class 2
LOGITS = torch.randn(60, 4, generator=GENERATOR) + torch.nn.functional.one_hot(LABELS, 4)
BATCHES = [(LOGITS[:25], LABELS[:25]), (LOGITS[25:], LABELS[25:])]


def outcomes() -> Outcomes:
    return Classification().outcomes(nn.Identity(), BATCHES)


def test_scores_are_100_where_the_most_likely_class_is_right():
    found = outcomes()
    predicted = LOGITS.argmax(1)
    assert found.scores.dtype == np.float64
    assert found.scores.tolist() == [100.0 if right else 0.0 for right in predicted == LABELS]
    assert found.scores.mean() == Classification().evaluate(nn.Identity(), BATCHES).value
    assert found.columns["target"].tolist() == LABELS.tolist()
    assert found.columns["predicted"].tolist() == predicted.tolist()
    assert found.columns["confidence"].dtype == np.float32
    assert found.columns["confidence"] == pytest.approx(LOGITS.softmax(1).amax(1).numpy())


def test_the_breakdown_agrees_with_scikit_learn():
    found = outcomes()
    target, predicted = found.columns["target"], found.columns["predicted"]
    breakdown = Classification().breakdown(found, ("cat", "dog", "emu", "fox"))
    value, unit = breakdown.numbers["balanced_accuracy"]
    assert value == pytest.approx(100 * recall_score(target, predicted, labels=[0, 1, 3], average="macro"))
    assert unit == "%"
    assert breakdown.matrix is not None
    assert breakdown.matrix.labels == ["cat", "dog", "emu", "fox"]
    assert np.array_equal(breakdown.matrix.counts, confusion_matrix(target, predicted, labels=range(4)))
    table = breakdown.tables["accuracy by class"]
    recalls = recall_score(target, predicted, labels=[0, 1, 3], average=None)
    assert [row[:2] for row in table.rows] == [
        ["cat", 40],
        ["dog", 15],
        ["fox", 5],
    ]  # a class without examples has none
    assert [row[2] for row in table.rows] == pytest.approx(list(100 * recalls), abs=1e-4)
    mistakes = breakdown.tables["most frequent mistakes"].rows
    assert sum(row[2] for row in mistakes) == (target != predicted).sum()
    assert [row[2] for row in mistakes] == sorted((row[2] for row in mistakes), reverse=True)


def test_classes_without_names_are_called_by_their_numbers_and_large_matrices_are_left_out():
    labels = torch.arange(60)
    found = Classification().outcomes(nn.Identity(), [(torch.eye(60), labels)])
    breakdown = Classification().breakdown(found, ("first",))
    assert breakdown.numbers["balanced_accuracy"][0] == 100
    assert [row[0] for row in breakdown.tables["accuracy by class"].rows[:3]] == ["first", "1", "2"]
    assert breakdown.tables["most frequent mistakes"].rows == []
    assert breakdown.matrix is None


def test_a_breakdown_survives_json():
    breakdown = Classification().breakdown(outcomes(), ("cat", "dog", "emu", "fox"))
    assert Breakdown.from_json(breakdown.to_json()) == breakdown
    assert Breakdown.from_json(Breakdown().to_json()) == Breakdown()


@pytest.mark.parametrize(
    ("scores", "columns", "message"),
    [
        (np.zeros((2, 2)), {}, "one number for each"),
        (np.zeros(0), {}, "at least one example"),
        (np.zeros(2), {"target": np.zeros(3)}, "column 'target' must have 2 rows, got 3"),
        (np.zeros(2), {"scores": np.zeros(2)}, "no column may be called 'scores'"),
        (np.zeros(1), {"anything": np.array([object()])}, "must hold numbers or text"),
    ],
)
def test_outcomes_that_do_not_fit_are_refused(scores, columns, message):
    with pytest.raises(ValueError, match=message):
        Outcomes(scores, columns)
