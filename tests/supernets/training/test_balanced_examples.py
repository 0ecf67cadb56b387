"""Training in which every class is shown equally often."""

import numpy as np
import pytest
import torch

from supernets import Classification, Supernet, TrainConfig, phases, train
from supernets.training.balanced_examples import BalancedExamples, groups_of
from tests.supernets.helpers import Images, Rows
from tests.supernets.regression import Regression, measurements
from tests.supernets.samplers.test_path_adaptive import CELLS

GROUPS = torch.tensor([0] * 70 + [1] * 20 + [3] * 7)


def test_every_class_is_shown_equally_often_and_its_examples_in_turns():
    balanced = BalancedExamples(GROUPS, seed=3)
    order = balanced.order(0).numpy()
    assert order.dtype == np.int64
    shown = np.bincount(GROUPS.numpy()[order], minlength=4)
    assert sorted(shown[[0, 1, 3]]) == [32, 32, 33]
    times = np.bincount(order, minlength=97)
    assert times[:70].max() == 1
    assert set(times[70:90]) == {1, 2}
    assert set(times[90:]) == {4, 5}
    assert not np.array_equal(np.sort(GROUPS.numpy()[order]), GROUPS.numpy()[order])  # mixed


def test_orders_follow_from_seed_and_epoch_alone_and_differ():
    first, again = BalancedExamples(GROUPS, seed=3), BalancedExamples(GROUPS, seed=3)
    again.order(7)
    assert torch.equal(first.order(2), again.order(2))
    assert not torch.equal(first.order(2), first.order(3))
    assert not torch.equal(first.order(2), BalancedExamples(GROUPS, seed=4).order(2))


def test_over_many_epochs_each_example_has_the_share_of_the_paper():
    balanced = BalancedExamples(GROUPS, seed=0)
    times = sum(np.bincount(balanced.order(epoch).numpy(), minlength=97) for epoch in range(300)) / (300 * 97)
    for label, count in ((0, 70), (1, 20), (3, 7)):
        assert times[GROUPS.numpy() == label] == pytest.approx(1 / (3 * count), rel=0.25)


class Labelled(Rows):
    """Knows its classes without being read."""

    def groups(self):
        return GROUPS

    def sequential(self, batch_size):
        raise AssertionError("read")


def test_the_classes_come_from_the_data_or_from_the_task_and_a_task_without_classes_is_refused():
    images = Images(40)
    assert torch.equal(groups_of(Rows(images.images, images.labels), Classification()), images.labels)
    assert torch.equal(groups_of(Labelled(images.images), Classification()), GROUPS)
    with pytest.raises(ValueError, match="examples balanced needs a task whose examples have classes"):
        groups_of(measurements(16), Regression())


@pytest.mark.parametrize(("examples", "shown"), [("balanced", [30, 30]), ("uniform", [50, 10])])
def test_a_training_shows_what_the_order_says(examples, shown):
    seen = []

    class Watched(Rows):
        def batches(self, *arguments, **more):
            for batch in super().batches(*arguments, **more):
                seen.append(batch[-1])
                yield batch

    data = Watched(Images(60).images, torch.tensor([0] * 50 + [1] * 10))
    config = TrainConfig(epochs=1, batch_size=10, examples=examples)
    train(Supernet(CELLS), phases(CELLS, config), data, config)
    assert torch.bincount(torch.cat(seen)).tolist() == shown
