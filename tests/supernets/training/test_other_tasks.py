"""A supernet that is trained for something else than the classes of images."""

import pytest
import torch

from supernets import Classification, Sampler, Sandwich, SplitConfig, Supernet, TrainConfig, phases, train
from supernets.training import train_few_shot
from tests.supernets.helpers import Images
from tests.supernets.regression import Regression, measurements, perceptrons
from tests.supernets.training.test_loop import assert_same_weights, tiny_space


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "sandwich"},
        {"sampler": "path_adaptive", "examples": "importance", "example_weights": True},
        {"sampler": "sorted", "ema_decay": 0.9},
    ],
    ids=lambda settings: settings["sampler"],
)
def test_networks_of_linear_layers_learn_to_predict_numbers(settings):
    config = TrainConfig(epochs=60, batch_size=32, lr=0.05, **settings)
    space, data, task = perceptrons(), measurements(), Regression()
    torch.manual_seed(0)
    supernet = train(Supernet(space), phases(space, config), data, config, task=task, seed=1)
    for architecture in (space.smallest(), space.largest()):
        assert task.evaluate(supernet.extract(architecture), data.sequential(100)).value > 70


def test_a_supernet_for_numbers_is_split_by_its_gradients():
    config = TrainConfig(epochs=60, batch_size=32, lr=0.05)
    split, space = SplitConfig(rounds=1, repeats=2), perceptrons()
    task, data = Regression(), measurements()
    torch.manual_seed(0)
    parts = train_few_shot(
        Supernet(space), lambda part, epochs: phases(part, config), data, config, split, task=task, seed=1
    )
    assert len(parts.leaves) == 2
    assert task.evaluate(parts.extract(space.largest()), data.sequential(100)).value > 50


def test_the_task_of_a_training_is_classification_unless_another_is_given():
    config = TrainConfig(epochs=2, batch_size=16, label_smoothing=0.2)
    space = tiny_space()
    trained = []
    for given in ({}, {"task": Classification(label_smoothing=0.2)}, {"task": Classification()}):
        torch.manual_seed(0)
        trained.append(train(Supernet(space), phases(space, config), Images(), config, **given))
    assert_same_weights(trained[0], trained[1])
    weight = "network.classifier.weight"
    assert not torch.equal(trained[0].state_dict()[weight], trained[2].state_dict()[weight])


class LargestTeaches(Sampler):
    """The largest architecture and the smallest, which learns from it."""

    distillation = "in_place"

    def __init__(self, space):
        self.space = space

    def draw(self, generator):
        return [self.space.largest(), self.space.smallest()]


def test_a_sampler_of_ones_own_can_have_in_place_distillation():
    space = tiny_space()
    config = TrainConfig(sampler="some.package:LargestTeaches", epochs=4, batch_size=16)
    (own,) = phases(space, config, lambda part, subnets: LargestTeaches(part))
    assert (own.distillation, own.average_losses) == ("in_place", False)
    (listed,) = phases(space, config, lambda part, subnets: Sandwich(space=part, subnets=2))
    trained = []
    for phase in (own, listed):
        torch.manual_seed(0)
        trained.append(train(Supernet(space), [phase], Images(), config))
    assert_same_weights(*trained)
