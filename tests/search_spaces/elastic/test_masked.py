"""Layers with masks."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search_spaces.architecture import Architecture
from search_spaces.elastic import Masked, MaskedConv2d, MaskedLinear, Size, masked_layers


def masked(layer: Masked, seed: int = 0) -> Masked:
    layer.mask.copy_(torch.rand(layer.mask.shape, generator=torch.Generator().manual_seed(seed)) < 0.6)
    return layer


LAYERS = {
    "pointwise": (lambda: MaskedConv2d(4, 6), {}),
    "strided": (lambda: MaskedConv2d(4, 6, kernel=3, stride=2, bias=True), {"stride": 2, "padding": 1}),
    "depthwise": (lambda: MaskedConv2d(4, 4, kernel=5, depthwise=True), {"padding": 2, "groups": 4}),
    "grouped": (lambda: MaskedConv2d(4, 6, stride=2, groups=2), {"stride": 2, "groups": 2}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_masked_weight_counts_as_zero_and_has_no_gradient(name):
    made, how = LAYERS[name]
    layer, x = masked(made()), torch.randn(2, 4, 7, 7)
    out = layer(x)
    expected = F.conv2d(x, torch.where(layer.mask, layer.weight, 0.0), layer.bias, **how)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    gradient = layer.weight.grad
    assert isinstance(gradient, Tensor)
    assert (gradient[~layer.mask] == 0).all()
    assert (gradient[layer.mask] != 0).any()
    plain = layer.extract()
    assert type(plain) is nn.Conv2d
    assert torch.equal(plain.weight, layer.weight * layer.mask)
    torch.testing.assert_close(plain(x), out)


def test_a_masked_linear_layer():
    layer, x = masked(MaskedLinear(5, 3)), torch.randn(2, 5)
    layer(x).square().sum().backward()
    assert layer.weight.grad is not None
    assert (layer.weight.grad[~layer.mask] == 0).all()
    plain = layer.extract()
    assert type(plain) is nn.Linear
    torch.testing.assert_close(plain(x), F.linear(x, torch.where(layer.mask, layer.weight, 0.0), layer.bias))


def test_the_live_part_of_a_weight_is_that_of_the_active_setting():
    size = Size("n", {n: n for n in range(5)})
    layers = nn.ModuleDict(
        {"in": MaskedConv2d(size, 3), "out": MaskedConv2d(3, size), "depth": MaskedConv2d(size, size, depthwise=True)}
    )
    shapes = {}
    for name, layer in masked_layers(layers):
        layer.activate(Architecture({"n": 2}))
        shapes[name] = tuple(layer.weight[layer.live()].shape)
        assert tuple(layer.extract().weight.shape) == shapes[name]
        layer.activate(Architecture({"n": 0}))
        assert layer.weight[layer.live()].numel() == 0
    assert shapes == {"in": (3, 2, 1, 1), "out": (2, 3, 1, 1), "depth": (2, 1, 1, 1)}


def test_masks_are_saved_with_the_weights():
    layer, other = masked(MaskedConv2d(4, 6)), MaskedConv2d(4, 6)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.mask, layer.mask)
    assert not layer.mask.all()
