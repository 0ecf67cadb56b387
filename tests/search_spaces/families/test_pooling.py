"""The space of the positions of poolings."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from nas.rank_agreement import kendall
from search_spaces import Architecture, InvalidArchitecture, Space
from search_spaces.errors import FieldError
from search_spaces.families.pooling import Skeleton, pooling
from supernets import Supernet
from tests.golden.pooling_truths import TRUTHS
from tests.search_spaces.counting import counted_costs

RESNET20 = Skeleton(network="resnet20", stem="small", image_size=32, channels=3, classes=10)


def everything(space: Space) -> set[Architecture]:
    """All architectures, by all combinations of choices."""
    values = product(*(decision.choices for decision in space.decisions))
    names = [decision.name for decision in space.decisions]
    return {space.architecture(dict(zip(names, one))) for one in values if len(set(one)) == len(one)}


@pytest.mark.parametrize(
    ("options", "count", "usual"),
    [
        ({}, 36, "4-3-3"),
        ({"network": "resnet18"}, 56, "3-2-2-2"),
        ({"network": "resnet50"}, 560, "4-4-6-3"),
        ({"network": "resnet50", "stem": "large", "image_size": 224}, 455, "3-4-6-3"),
        ({"network": "resnet18", "stem": "large", "image_size": 224}, 35, "2-2-2-2"),
    ],
)
def test_published_numbers_of_positions(options, count, usual):
    space = pooling(**options)
    assert space.count() == count
    assert len(everything(space)) == count
    assert space.read_row({"config": usual}) in space


def test_configurations_name_each_architecture_once():
    space = pooling()
    configs = {RESNET20.config(architecture): architecture for architecture in everything(space)}
    assert {"".join(map(str, config)) for config in configs} == set(TRUTHS)
    for config, architecture in configs.items():
        assert space.read_row({"config": "".join(map(str, config))}) == architecture
        assert space.read_row({"config": "-".join(map(str, config))}) == architecture


def test_the_usual_network_pools_before_its_fifth_and_eighth_layer():
    assert dict(pooling().read_row({"config": "433"})) == {"pool1": 4, "pool2": 7}


@pytest.mark.parametrize("config", ["43", "4330", "334-", "532a", "442-1", "0-5-5", "55", ""])
def test_other_configurations_are_refused(config):
    with pytest.raises(InvalidArchitecture, match=r"config '.*' must be 3 numbers of 1 or more that add up to 10"):
        pooling().read_row({"config": config})


def test_the_order_of_the_decisions_says_nothing_and_places_differ():
    space = pooling()
    assert space.architecture({"pool1": 7, "pool2": 4}) == space.architecture({"pool1": 4, "pool2": 7})
    with pytest.raises(InvalidArchitecture, match=r"pool1, pool2 must be different blocks, got \[4, 4\]"):
        space.architecture({"pool1": 4, "pool2": 4})


@pytest.mark.parametrize("options", [{}, {"network": "resnet50", "stem": "large", "image_size": 64, "classes": 7}])
def test_costs_are_those_of_the_networks(options):
    space = pooling(**options)
    drawn = [space.smallest(), space.largest(), *(space.sample(np.random.default_rng(seed)) for seed in range(2))]
    costs = space.costs(drawn)
    shape = space.inputs[0].shape
    for i, architecture in enumerate(drawn):
        counted = counted_costs(space.subnet(architecture), shape)
        assert (costs["params"][i], costs["macs"][i]) == tuple(counted)


def test_all_positions_share_all_weights():
    supernet = Supernet(pooling(image_size=16)).eval()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    outputs = []
    for config in ("118", "433", "811"):
        architecture = supernet.space.read_row({"config": config})
        supernet.activate(architecture)
        plain = supernet.extract(architecture).eval()
        with torch.no_grad():
            outputs.append(supernet(images))
            torch.testing.assert_close(plain(images), outputs[-1])
        assert sum(parameter.numel() for parameter in plain.parameters()) == 270_906
        assert sum(isinstance(module, nn.MaxPool2d) for module in plain.modules()) == 2
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[1], outputs[2])


def test_places_cannot_be_mixed():
    supernet = Supernet(pooling(image_size=16))
    with pytest.raises((TypeError, ValueError), match="cannot be"):
        supernet.relax(supernet.space.relaxation({"pool1": {1: 0.5, 2: 0.5}, "pool2": 7}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "resnet34"}, "network must be one of resnet20, resnet18, resnet50, got 'resnet34'"),
        ({"stem": "huge"}, "stem must be one of small, large, got 'huge'"),
        ({"image_size": 3}, "image_size must be at least 4, got 3"),
        ({"stem": "large", "network": "resnet50", "image_size": 31}, "image_size must be at least 32, got 31"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(FieldError, match=message):
        pooling(**options)


def test_published_accuracies():
    assert len(TRUTHS) == 36
    assert max(TRUTHS, key=TRUTHS.__getitem__) == "712"
    truths = np.array(list(TRUTHS.values()))
    assert kendall(truths, truths) == pytest.approx(1)
