"""The schedule `adapted` on the elastic network of a trace."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from search_spaces import Decision, Space
from search_spaces.elastic import Size
from search_spaces.elastic.traced import ElasticGraph
from search_spaces.inputs import Input
from search_spaces.tracing import Traced, trace
from supernets import Classification, Supernet, TrainConfig, phases, require_calibrated, train
from supernets.calibration import calibrate, calibrated_subnet
from supernets.training.adapt_config import AdaptConfig
from supernets.transforms.follow_examples import following_examples, write
from supernets.transforms.importance import by_loss, by_scales, by_weights, orders_by, random_importance
from supernets.transforms.units import reorder, unit_groups
from tests.search_spaces.elastic.traced_networks import Convolutional
from tests.supernets.helpers import Images


@cache
def _trace() -> Traced:
    torch.manual_seed(0)
    return trace(Convolutional().eval(), (torch.randn(1, 3, 16, 16),))


def built() -> ElasticGraph:
    given = replace(_trace(), module=deepcopy(_trace().module))
    sizes = {
        group.name: Size(group.name, {0.5: group.size // 2, 1.0: group.size})
        for group in given.groups
        if group.size > 1
    }
    return ElasticGraph(given, groups=sizes)


def space() -> Space:
    names = [group.name for group in _trace().groups if group.size > 1]
    return Space(
        name="traced",
        decisions=tuple(Decision(name, (0.5, 1.0)) for name in names),
        inputs=(Input(shape=(3, 16, 16)),),
        build=built,
    )


IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 5


def test_any_order_leaves_the_largest_as_it_is_and_moves_what_smaller_ones_keep():
    supernet = Supernet(space()).eval()
    before = supernet(IMAGES)
    supernet.activate(supernet.space.smallest())
    small = supernet(IMAGES)
    groups = unit_groups(supernet)
    assert len(groups) >= 3
    reorder(supernet, orders_by(random_importance(groups, torch.Generator().manual_seed(1))))
    assert not torch.allclose(supernet(IMAGES), small, atol=1e-4)
    supernet.activate(supernet.space.largest())
    assert torch.allclose(supernet(IMAGES), before, atol=1e-5)


def test_a_unit_of_no_weight_is_the_least_important():
    supernet = Supernet(space())
    network = supernet.network
    with torch.no_grad():
        for block in network.blocks:
            for tensor in (block.conv1.weight[3], block.bn1.weight[3], block.bn1.bias[3], block.dw.weight[3]):
                tensor.zero_()
            for tensor in (block.bn2.weight[3], block.bn2.bias[3], block.conv2.weight[:, 3]):
                tensor.zero_()
    groups = [group for group in unit_groups(supernet) if "blocks" in group.name]
    assert [group.size for group in groups] == [12, 16]
    batch = (IMAGES, LABELS)
    found = [by_weights(groups, 1), by_weights(groups, 2), by_scales(groups)]
    found.append(by_loss(supernet, groups, [batch], Classification()))
    for importances in found:
        for order in orders_by(importances).values():
            assert int(order[-1]) == 3


def trained_elsewhere() -> Supernet:
    """Return a supernet whose batch norms saw other images, in float64."""
    torch.manual_seed(0)
    supernet = Supernet(space()).double().train()
    for _ in range(50):
        supernet(3 + 2 * torch.randn(16, 3, 16, 16, dtype=torch.float64))
    return supernet.eval()


def test_norms_that_follow_examples_leave_the_function_and_keep_it_when_calibrated():
    supernet, images = trained_elsewhere(), IMAGES.double()
    before = supernet(images)
    found = following_examples(supernet, [(images,)])
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in supernet.modules())
    assert len(found) == 4 * norms > 0
    forgetful = calibrate(supernet.extract(), [images])(images)
    write(supernet.network, found)
    assert torch.allclose(supernet(images), before, atol=1e-10)
    assert torch.allclose(supernet(IMAGES.flip(0).double()), before.flip(0), atol=1e-10)
    assert torch.allclose(calibrate(supernet.extract(), [images])(images), before, atol=1e-10)
    assert (forgetful - before).abs().max() > 0.1


def test_a_calibrated_subnet_has_the_moments_of_the_whole_network():
    supernet, images = trained_elsewhere(), IMAGES.double()
    write(supernet.network, following_examples(supernet, [(images,)]))
    seen = []
    for architecture in (supernet.space.largest(), supernet.space.smallest()):
        network = calibrate(supernet.extract(architecture), [images])
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.register_forward_hook(lambda _, given, x: seen.append(torch.var_mean(x, (0, 2, 3), correction=0)))
        network(images)
    assert len(seen) == 2 * len(norms)
    for whole, part in zip(seen[: len(norms)], seen[len(norms) :]):
        for theirs, ours in zip(whole, part):
            assert torch.allclose(ours, theirs[: len(ours)], rtol=1e-2)  # eps counts where little varies


def test_norms_without_shift_or_statistics_stay_as_they_are():
    norms = [nn.BatchNorm2d(16), nn.BatchNorm2d(16), nn.BatchNorm2d(16, track_running_stats=False)]
    norms[1].register_parameter("bias", None)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3), *norms, nn.Flatten(), nn.Linear(16 * 14**2, 5))
    for _ in range(20):
        network.train()(3 + 2 * torch.randn(16, 3, 16, 16))
    supernet = Supernet(Space.from_module(network.eval(), IMAGES[:1])).eval()
    before = supernet(IMAGES)
    found = following_examples(supernet, [(IMAGES,)])
    assert {name.split(".")[0] for name in found} == {"1"}
    write(supernet.network, found)
    assert torch.allclose(supernet(IMAGES), before, atol=1e-5)


def test_norms_that_were_never_trained_do_not_follow():
    assert following_examples(Supernet(space()), [(IMAGES,)]) == {}


@pytest.mark.parametrize("share", [0.5, 1])
def test_the_schedule_runs_on_a_traced_network(share):
    config = TrainConfig(
        schedule="adapted",
        sampler="sandwich",
        adapt=AdaptConfig(share=share, examples=32, subnets=2),
        epochs=2,
        batch_size=16,
        lr=0.05,
    )
    traced, data, events = space(), Images(size=16, channels=3, classes=5), []
    torch.manual_seed(0)
    supernet = train(Supernet(traced), phases(traced, config), data, config, observer=events.append)
    (order,) = [event for event in events if event["event"] == "order"]
    assert order["groups"] == len(unit_groups(supernet))
    largest = traced.largest()
    calls = []
    network = calibrated_subnet(supernet, largest, lambda: calls.append(1) or [IMAGES])
    require_calibrated(network)
    assert bool(calls) == (share < 1)
    if share == 1:
        supernet.activate(largest)
        assert torch.allclose(network(IMAGES), supernet.eval()(IMAGES), atol=1e-5)


def test_a_training_stopped_while_units_are_ordered_ends_with_the_same_weights(tmp_path):
    adapt = AdaptConfig(share=0.5, examples=32, subnets=2)
    config = TrainConfig(
        schedule="adapted", sampler="sandwich", adapt=adapt, epochs=2, batch_size=16, lr=0.05, checkpoint_every_s=0
    )
    traced, data = space(), Images(size=16, channels=3, classes=5)

    def trained(**options) -> Supernet:
        torch.manual_seed(0)
        return train(Supernet(traced), phases(traced, config), data, config, seed=1, **options)

    def stop(event: dict) -> None:
        if event["event"] in ("ordering", "order"):
            raise InterruptedError

    whole = trained()
    with pytest.raises(InterruptedError):
        trained(folder=tmp_path, observer=stop)
    resumed = trained(folder=tmp_path)
    for (name, left), right in zip(whole.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(left, right), name
