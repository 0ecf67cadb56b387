"""Training one architecture alone from fresh weights, in the network that a paper takes for that."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nas.retraining import train_from_scratch
from search_spaces import Space
from search_spaces.families.darts import darts
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.networks.genotype_network import GenotypeNetwork
from supernets import Classification, TrainConfig
from supernets.tasks.further_outputs import FurtherOutputs
from supernets.training.steps.alone import AloneStep
from supernets.training.steps.step import Moment
from tests.search_spaces.families.test_darts import V2
from tests.supernets.helpers import Images, tiny_mobilenet

CONFIG = TrainConfig(epochs=3, batch_size=8, lr=0.05, checkpoint_every_s=0)
SMALL = {"width": 2, "cells": 3, "channels": 1, "classes": 4}
IMAGES = Images(n=16, size=32)


def small_darts() -> Space:
    return darts(**SMALL, drop_path=0.3)


# ---- what papers train ----------------------------------------------------------------------------------------------


def test_darts_trains_the_published_network_with_an_auxiliary_classifier():
    """3,349,342 weights of DARTS_V2, which the released code rounds to 3.3 M, and 476,426 of its second classifier."""
    found = darts(width=16, cells=8, shared_affine=False, entangled=True)
    space = darts(**found.alone.options)
    architecture = space.read_row({"genotype": V2})
    assert space.costs([architecture])["params"].tolist() == [3_349_342]
    assert space.alone.network is not None
    with torch.device("meta"):
        network = space.alone.network(architecture)
        plain = space.subnet(architecture)
    assert sum(p.numel() for p in network.parameters()) == 3_349_342 + 476_426
    assert sum(p.numel() for p in plain.parameters()) == 3_349_342
    assert (space.alone.epochs, space.alone.further) == (600, 0.4)
    assert isinstance(network, GenotypeNetwork)
    assert network.auxiliary_after == 13, "behind the second reduction, at two thirds of 20 cells"


def test_drop_path_rises_linearly_to_the_published_probability():
    space = darts(**{**darts().alone.options, "cells": 3, "width": 2})
    assert space.alone.begin_epoch is not None
    network = space.subnet(space.smallest())
    for part, probability in ((0.0, 0.0), (0.5, 0.1), (1.0, 0.2)):
        space.alone.begin_epoch(network, part)
        assert network.drop_path == pytest.approx(probability)


def test_images_that_are_too_small_for_the_second_classifier_have_none():
    space = darts(width=2, cells=3, image_size=16)
    assert space.alone.network is not None
    assert not hasattr(space.alone.network(space.smallest()), "auxiliary_head")


def test_nasbench201_trains_the_network_of_the_table():
    """129,306 and 559,386 weights stand in the published table for these cells."""
    space = nasbench201(**nasbench201(width=4, cells=1, shared_affine=False).alone.options)
    cells = [space.read_row({"cell": cell}) for cell in ("x421211", "x433444")]
    assert space.costs(cells)["params"].tolist() == [129_306, 559_386]
    assert space.alone.epochs == 200


# ---- the loss -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_further_outputs_count_with_their_weight_through_the_task(smoothing):
    generator = torch.Generator().manual_seed(0)
    first, second, teacher = (torch.randn(6, 4, generator=generator) for _ in range(3))
    labels, weights = torch.arange(6) % 4, torch.rand(6, generator=generator)
    task, batch = FurtherOutputs(Classification(label_smoothing=smoothing), 0.4), (torch.zeros(6, 1), labels)
    plain = [F.cross_entropy(one, labels, label_smoothing=smoothing, reduction="none") for one in (first, second)]
    assert torch.allclose(task.loss((first, second), batch), plain[0].mean() + 0.4 * plain[1].mean())
    expected = (plain[0] * weights).mean() + 0.4 * (plain[1] * weights).mean()
    assert torch.allclose(task.loss((first, second), batch, weights=weights), expected)
    taught = [F.cross_entropy(one, teacher.softmax(1)) for one in (first, second)]
    assert torch.allclose(task.loss((first, second), batch, teacher=teacher), taught[0] + 0.4 * taught[1])
    assert torch.equal(task.loss(first, batch), Classification(label_smoothing=smoothing).loss(first, batch))
    assert task.metric == Classification().metric


def test_a_step_follows_the_gradient_of_both_classifiers():
    space = small_darts()
    torch.manual_seed(0)
    network = space.alone.network(space.largest())  # type: ignore[misc]
    told = []
    step = AloneStep(
        network=network,
        config=TrainConfig(
            epochs=4, batch_size=8, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0, clip_norm=None
        ),
        task=FurtherOutputs(Classification(), 0.4),
        begin_epoch=lambda network, part: told.append(part),
    )
    before = {name: one.detach().clone() for name, one in network.named_parameters()}
    batch = (IMAGES.images[:8], IMAGES.labels[:8])
    outputs = network(batch[0])
    loss = F.cross_entropy(outputs[0], batch[1]) + 0.4 * F.cross_entropy(outputs[1], batch[1])
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    moment = Moment(step=3, epoch=3, batch=0, lr=0.1, progress=0.5, generator=np.random.default_rng(0))
    assert torch.allclose(step(batch, moment), loss)
    assert told == [0.75]
    for (name, one), gradient in zip(network.named_parameters(), gradients):
        assert torch.allclose(one, before[name] - 0.1 * gradient, atol=1e-5), name


def test_a_batch_in_parts_is_the_same_step():
    """The network has no batch norm, whose statistics are those of a part."""
    steps = {}
    for parts in (1, 3):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10)).double()
        network(IMAGES.images[:1].double())
        config = TrainConfig(epochs=4, batch_size=8, lr=0.1, accumulate=parts)
        step = AloneStep(network=network, config=config, task=FurtherOutputs(Classification(label_smoothing=0.1)))
        moment = Moment(step=0, epoch=0, batch=0, lr=0.1, progress=0.0, generator=np.random.default_rng(0))
        loss = step((IMAGES.images[:8].double(), IMAGES.labels[:8]), moment)
        steps[parts] = [loss.double(), *network.parameters()]
    for whole, parted in zip(steps[1], steps[3], strict=True):
        assert torch.allclose(whole, parted, atol=1e-6)


# ---- the training ---------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """The end of a process in the middle of a training."""


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path):
    space = small_darts()
    whole = train_from_scratch(space, space.largest(), IMAGES, CONFIG, seed=3)
    events = []

    def stop(event):
        events.append(event)
        if event["event"] == "validate" and len(events) > 1:
            raise Stopped

    def validate(network):
        return {"accuracy": 0.0}

    given = {"seed": 3, "folder": tmp_path, "validate": validate}
    with pytest.raises(Stopped):
        train_from_scratch(space, space.largest(), IMAGES, CONFIG, observer=stop, **given)
    resumed = train_from_scratch(space, space.largest(), IMAGES, CONFIG, **given)
    assert whole.state_dict().keys() == space.subnet(space.largest()).state_dict().keys()
    for (name, one), other in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    other = train_from_scratch(space, space.largest(), IMAGES, CONFIG, seed=4)
    assert not torch.equal(next(iter(whole.parameters())), next(iter(other.parameters())))


def test_a_space_without_a_network_of_its_own_trains_its_plain_one():
    space, images = tiny_mobilenet(), Images()
    config = TrainConfig(epochs=10, batch_size=16, lr=0.05)
    network = train_from_scratch(space, space.smallest(), images, config, seed=1)
    accuracy = Classification().evaluate(network, [(images.images, images.labels)]).value
    assert accuracy > 60, "it has statistics of its own, and needs no calibration"
