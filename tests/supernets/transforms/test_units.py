"""Units of networks: importance, and orders that leave the largest network as it is."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from torch import nn

from supernets import Classification, Supernet
from supernets.transforms.importance import by_loss, by_scales, by_weights, orders_by, random_importance
from supernets.transforms.units import reorder, unit_groups
from tests.supernets.helpers import scrambled, tiny_mobilenet

Named = namedtuple("Named", "name size")
Trace = namedtuple("Trace", "module groups constants")


class TwoConvs(nn.Module):
    """A convolution with a norm, concatenated with itself and read by another; and how its four channels stand."""

    def __init__(self) -> None:
        super().__init__()
        network = nn.Module()
        network.first, network.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        network.last = nn.Conv2d(8, 3, 1)
        self.traced = Trace(network, [Named("first.weight", 4)], {})

    def forward(self, x):
        network = self.traced.module
        x = network.norm(network.first(x)).relu()
        return network.last(torch.cat([x, x], 1)).mean((2, 3))

    def uses(self, group):
        one, two = np.arange(4)[:, None], np.stack([np.arange(4), np.arange(4, 8)], 1)
        names = ("first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
        return [*((name, 0, one) for name in names), ("last.weight", 1, two)]

    def reorder(self, orders):
        state = self.traced.module.state_dict()
        for group, order in orders.items():
            for name, dimension, indices in self.uses(group):
                source = torch.from_numpy(indices)[order].T.flatten()
                target = torch.from_numpy(indices).T.flatten()
                moved = state[name].index_select(dimension, source)
                state[name].index_copy_(dimension, target, moved)


def test_importance_sums_over_everything_that_belongs_to_a_unit():
    network = TwoConvs()
    modules = network.traced.module
    with torch.no_grad():
        modules.norm.weight.copy_(torch.tensor([1.0, -3.0, 2.0, 0.5]))
    groups = unit_groups(network)
    assert [(group.name, group.size) for group in groups] == [("first.weight", 4)]
    read = modules.last.weight.view(3, 2, 4)
    for power in (1, 2):
        expected = (modules.first.weight.abs() ** power).sum((1, 2, 3)) + modules.norm.weight.abs() ** power
        expected = expected + (read.abs() ** power).sum((0, 1))
        assert torch.allclose(by_weights(groups, power)["first.weight"].float(), expected)
    assert by_scales(groups)["first.weight"].tolist() == [1.0, 3.0, 2.0, 0.5]
    assert orders_by(by_scales(groups))["first.weight"].tolist() == [1, 2, 0, 3]


def test_orders_leave_the_function_as_it_is():
    network = TwoConvs()
    x = torch.randn(5, 2, 6, 6)
    network(x)  # running statistics
    before = network.eval()(x)
    weight = network.traced.module.first.weight.detach().clone()
    order = torch.tensor([2, 0, 3, 1])
    reorder(network, {"first.weight": order})
    assert torch.equal(network.traced.module.first.weight, weight[order])
    assert torch.allclose(network(x), before, atol=1e-6)


def test_loss_importance_is_the_change_of_the_loss_by_weights_and_gradients():
    supernet = scrambled(Supernet(tiny_mobilenet()))
    groups = unit_groups(supernet)
    batch = (torch.randn(6, 1, 8, 8), torch.arange(6) % 4)
    found = by_loss(supernet, groups, [batch, batch], Classification())
    assert all(parameter.grad is None for parameter in supernet.parameters())
    Classification().loss(supernet(batch[0]), batch).backward()
    for group in groups:
        expected = torch.zeros(group.size)
        for carrier in group.carriers:
            if carrier.tensor.grad is not None:
                product = (carrier.tensor.detach() * carrier.tensor.grad).abs()
                expected += product.movedim(carrier.dimension, 0).reshape(group.size, -1).sum(1)
        assert torch.allclose(found[group.name].float(), 2 * expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("seed", [0, 1])
def test_any_order_of_a_supernet_leaves_the_largest_as_it_is(seed):
    supernet = scrambled(Supernet(tiny_mobilenet())).eval()
    x = torch.randn(3, 1, 8, 8)
    before, groups = supernet(x), unit_groups(supernet)
    reorder(supernet, orders_by(random_importance(groups, torch.Generator().manual_seed(seed))))
    assert torch.allclose(supernet(x), before, atol=1e-5)
    assert groups


@pytest.mark.parametrize(("table", "there"), [(torch.arange(4.0), False), (torch.ones(4), True)])
def test_units_of_tensors_that_are_not_saved_stay_in_place(table, there):
    """A resumed training would have such a tensor in its first order again."""
    network = TwoConvs()
    network.traced = network.traced._replace(constants={"table": table})
    known = network.uses
    network.uses = lambda group: [*known(group), ("table", 0, np.arange(4)[:, None])]
    assert bool(unit_groups(network)) == there


def test_networks_without_groups_have_no_units():
    assert unit_groups(nn.Sequential(nn.Linear(3, 3))) == []
