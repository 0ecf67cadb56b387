"""Mixtures of sizes: weights of slices, not of outputs."""

import itertools

import pytest
import torch
from torch import nn

from search_spaces import Architecture, Relaxation
from search_spaces.elastic import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticDepth,
    ElasticLinear,
    Size,
    elastic_layers,
    following_layers,
)
from search_spaces.elastic.mixing import mixed_kernel
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from tests.supernets.helpers import scrambled

WIDTH = Size("width", {2: 2, 4: 4, 6: 6})
OUT = Size("out", {1: 1, 3: 3})
KERNEL = Size("kernel", {3: 3, 5: 5, 7: 7})
DEPTH = Size("depth", {1: 1, 2: 2, 3: 3})


def one_hot(architecture) -> Relaxation:
    """All choices of the sizes above, of which one weighs 1 and the others 0."""
    sizes = {size.decision: size for size in (WIDTH, OUT, KERNEL, DEPTH)}
    return Relaxation(
        {name: {c: float(c == value) for c in sizes[name].values} for name, value in architecture.items()}
    )


def convolution() -> ElasticConv2d:
    return ElasticConv2d(WIDTH, OUT, kernel=KERNEL, bias=True, stride=2)


def chain() -> nn.Sequential:
    """Every kind of layer, one behind the other."""
    blocks = [nn.Sequential(ElasticConv2d(WIDTH, WIDTH, kernel=KERNEL, depthwise=True), nn.ReLU()) for _ in range(3)]
    first = nn.Sequential(ElasticConv2d(3, WIDTH, kernel=3), ElasticBatchNorm2d(WIDTH), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), ElasticLinear(WIDTH, 5))
    return nn.Sequential(first, ElasticDepth(blocks, DEPTH), head)


def activate(network: nn.Module, setting) -> None:
    for layer in elastic_layers(network):
        layer.activate(setting)


def test_the_example_of_the_card():
    layer = ElasticLinear(Size("in", {2: 2, 4: 4}), Size("out", {1: 1, 3: 3}), bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.arange(1, 13).view(3, 4))
    layer.activate(Relaxation({"in": {2: 0.25, 4: 0.75}, "out": {1: 0.4, 3: 0.6}}))
    mixed = layer(torch.eye(4).double()).T
    expected = [[1, 2, 2.25, 3], [3, 3.6, 3.15, 3.6], [5.4, 6, 4.95, 5.4]]
    assert torch.allclose(mixed, torch.tensor(expected).double())
    row = torch.arange(1.0, 6.0).view(1, 1, 1, 5).expand(1, 1, 5, 5)
    assert mixed_kernel({3: row[..., 1:4, 1:4], 5: row}, {3: 0.3, 5: 0.7})[0, 0, 2].tolist() == pytest.approx(
        [0.7, 2, 3, 4, 3.5]
    )


@pytest.mark.parametrize("training", [False, True])
def test_a_one_hot_mixture_equals_the_architecture(training):
    torch.manual_seed(0)
    network = scrambled(chain()).train(training)
    x = torch.randn(4, 3, 9, 9)
    for width, kernel, depth in itertools.product(WIDTH.values, KERNEL.values, DEPTH.values):
        architecture = Architecture({"width": width, "kernel": kernel, "depth": depth})
        activate(network, architecture)
        expected = network(x)
        activate(network, one_hot(architecture))
        assert torch.allclose(network(x), expected, atol=1e-6)
        activate(network, architecture)
        assert torch.equal(network(x), expected)


def test_a_one_hot_mixture_equals_the_architecture_in_a_published_network():
    space = small_mobilenet_v3(image_size=16, stage_widths=(16, 24), strides=(1, 2), depths=(1, 2))
    network = scrambled(space.build()).eval()
    layers = following_layers(network)
    x = torch.randn(2, 3, 16, 16)
    for architecture in (space.smallest(), space.largest()):
        for layer in layers:
            layer.activate(architecture)
        expected = network(x)
        weights = {d.name: {c: float(c == architecture.get(d.name)) for c in d.choices} for d in space.decisions}
        mixed = Relaxation({**weights, "resolution": 16})
        for layer in layers:
            layer.activate(mixed)
        assert torch.allclose(network(x), expected, atol=1e-5)


def test_a_mixed_convolution_is_the_mixture_of_convolutions():
    """It is linear, so that mixing weights is mixing outputs."""
    torch.manual_seed(0)
    layer, x = scrambled(convolution()).double(), torch.randn(2, 6, 9, 9).double()
    weights = {
        "width": {2: 0.2, 4: 0.5, 6: 0.3},
        "out": {1: 0.6, 3: 0.4},
        "kernel": {3: 0.1, 5: 0.2, 7: 0.7},
    }
    expected = torch.zeros(2, 3, 5, 5).double()
    for (width, a), (out, b), (kernel, c) in itertools.product(*(of.items() for of in weights.values())):
        layer.activate(Architecture({"width": width, "out": out, "kernel": kernel}))
        bias = layer.bias[:out, None, None]
        expected[:, :out] += a * b * c * (layer(x[:, :width]) - bias) + a * b * c * bias
    layer.activate(Relaxation(weights))
    assert torch.allclose(layer(x), expected)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_reach_the_weights_of_choices_and_are_right(training):
    torch.manual_seed(0)
    network = scrambled(chain()).double().train(training)
    x = torch.randn(3, 3, 9, 9).double()
    names = [(size.decision, choice) for size in (WIDTH, KERNEL, DEPTH) for choice in size.values]

    def loss(*weights: torch.Tensor) -> torch.Tensor:
        values: dict[str, dict[int, torch.Tensor]] = {}
        for (decision, choice), weight in zip(names, weights):
            values.setdefault(decision, {})[choice] = weight
        activate(network, Relaxation(values))
        return network(x).square().sum()

    weights = [torch.rand((), dtype=torch.double, requires_grad=True) for _ in names]
    assert torch.autograd.gradcheck(loss, weights, eps=1e-6, atol=1e-5, rtol=1e-4)


def test_a_mixture_runs_as_large_as_its_largest_choice():
    layer = convolution()
    layer.activate(Relaxation({"width": {6: 1.0}, "out": {1: 0.5, 3: 0.5}, "kernel": {7: 1.0}}))
    assert layer(torch.randn(1, 6, 9, 9)).shape == (1, 3, 5, 5)
    layer.activate(Relaxation({"width": {2: 0.5, 4: 0.5}, "out": {1: 1.0}, "kernel": {3: 0.5, 5: 0.5}}))
    assert layer(torch.randn(1, 4, 9, 9)).shape == (1, 1, 5, 5)


@pytest.mark.parametrize("layer", [convolution(), ElasticLinear(WIDTH, 4), ElasticBatchNorm2d(WIDTH)])
def test_a_mixture_of_sizes_cannot_be_extracted(layer):
    layer.activate(Relaxation({"width": {2: 0.5, 6: 0.5}, "out": 3, "kernel": 3}))
    with pytest.raises(ValueError, match="width is a mixture of choices: activate an architecture before extracting"):
        layer.extract()
    layer.activate(Architecture({"width": 4, "out": 3, "kernel": 3}))
    assert layer.extract() is not None
