"""Feed-forward layers blended of experts: the cheap checks of the method, by hand and by naive second versions."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search_spaces import Architecture, Relaxation
from search_spaces.elastic import Elastic, ElasticLinear, Size
from search_spaces.elastic.experts import BlendedFeedForward, Router, Routing
from search_spaces.transformer import FeedForward

EMBED, HIDDEN = Size("embed", {2: 2, 4: 4}), Size("hidden", {3: 3, 5: 5, 6: 6})
WIDE = Architecture({"embed": 4, "hidden": 6, "other": 0})
NARROW = Architecture({"embed": 2, "hidden": 3, "other": 0})
ELSEWHERE = Architecture({"embed": 2, "hidden": 3, "other": 1})
ALL = [WIDE, NARROW, ELSEWHERE, Architecture({"embed": 4, "hidden": 5, "other": 1})]
BOTH = pytest.mark.parametrize("by_neuron", [False, True], ids=["layer", "neuron"])


def encode(architecture):
    values = (architecture["embed"] / 4, architecture["hidden"] / 6, architecture["other"])
    return np.array(values, dtype=np.float32)


def linears(experts, sizes):
    made = [ElasticLinear(*sizes) for _ in range(experts)]
    for layer in made:
        nn.init.normal_(layer.bias)
    return made


def blended(experts=2, by_neuron=False, seed=0):
    torch.manual_seed(seed)
    how = Routing(encode=encode, features=3, hidden=8, by_neuron=by_neuron)
    parts = linears(experts, (EMBED, HIDDEN)), nn.GELU(), linears(experts, (HIDDEN, EMBED))
    layer = BlendedFeedForward(*parts, how)
    layer.activate(WIDE)
    return layer


def example(architecture):
    return torch.randn(5, architecture["embed"], generator=torch.Generator().manual_seed(1))


def plain(layer, number):
    """The layer with one of the experts alone."""
    parts = [linear.layers[number] for linear in layer.linears]
    return FeedForward(parts[0], layer.activation, parts[1])


def naive(layer, architecture, x):
    """Neuron by neuron, from the weights of the routers as they stand."""
    a, routers = torch.from_numpy(encode(architecture)), list(layer.routers)
    sizes = ((architecture["embed"], architecture["hidden"]), (architecture["hidden"], architecture["embed"]))
    for place, (inputs, outputs) in enumerate(sizes):
        router, rows = routers[place % len(routers)], []
        hidden = (router.enter.weight @ a + router.enter.bias).clamp(min=0)
        for neuron in range(outputs):
            at = neuron if len(routers) > 1 else 0
            exps = [float((one.weight[at] @ hidden + one.bias[at]).exp()) for one in router.leave]
            experts = layer.linears[place].layers
            one = [e / sum(exps) * (k.weight[neuron, :inputs] @ x.T + k.bias[neuron]) for e, k in zip(exps, experts)]
            rows.append(torch.stack(one).sum(0))
        x = torch.stack(rows, dim=1)
        x = F.gelu(x) if place == 0 else x
    return x


@BOTH
@pytest.mark.parametrize("experts", [2, 3])
@torch.no_grad()
def test_the_blend_is_that_of_a_naive_version_and_is_folded_to_plain_layers(by_neuron, experts):
    layer = blended(experts, by_neuron)
    for architecture in ALL:
        x = example(architecture)
        layer.activate(architecture)
        assert torch.allclose(layer(x), naive(layer, architecture, x), atol=1e-6)
        folded = layer.extract()
        assert torch.allclose(folded(x), layer(x), atol=1e-6)
        assert not any(isinstance(part, Elastic) for part in folded.modules())
        assert [type(part) for part in folded.children()] == [nn.Linear, nn.GELU, nn.Linear]


@BOTH
@torch.no_grad()
def test_one_expert_is_the_plain_layer(by_neuron):
    layer = blended(1, by_neuron)
    for architecture in ALL:
        layer.activate(architecture)
        assert torch.equal(layer(example(architecture)), plain(layer, 0)(example(architecture)))


@BOTH
@torch.no_grad()
def test_a_router_that_is_forced_to_one_expert_gives_its_slice(by_neuron):
    layer = blended(3, by_neuron)
    for router in layer.routers:
        for number, last in enumerate(router.leave):
            last.weight.zero_()
            last.bias.fill_(0.0 if number == 1 else -200.0)
    for architecture in ALL:
        layer.activate(architecture)
        expected = plain(layer, 1)(example(architecture))
        assert torch.allclose(layer(example(architecture)), expected, atol=1e-6)


@torch.no_grad()
def test_the_experts_of_a_neuron_stand_together():
    """Logits 0, 0, ln 3, 0, 0, ln 3 of three neurons and two experts; experts of ones and of twos."""
    router = Router(features=1, hidden=4, neurons=3, experts=2)
    for last, logits in zip(router.leave, ((0, math.log(3), 0), (0, 0, math.log(3)))):
        last.weight.zero_()
        last.bias.copy_(torch.tensor(logits))
    routing = router(torch.ones(1), 3)
    assert torch.allclose(routing, torch.tensor([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75]]))
    layer = blended()
    for number, expert in enumerate(layer.linears[0].layers):
        expert.weight.fill_(number + 1.0)
        expert.bias.fill_(number + 1.0)
    layer.activate(NARROW)
    weight, bias = layer.linears[0].blended(routing)
    assert torch.allclose(bias, torch.tensor([1.5, 1.25, 1.75]))
    assert torch.allclose(weight, bias[:, None].expand(3, 2))


@torch.no_grad()
def test_neurons_keep_their_blend_whatever_width_is_active():
    layer = blended(3, by_neuron=True)
    for linear, router in zip(layer.linears, layer.routers):
        whole = router(torch.rand(3, generator=torch.Generator().manual_seed(2)), linear.neurons)
        part = router(torch.rand(3, generator=torch.Generator().manual_seed(2)), 2)
        assert torch.allclose(part, whole[:2])
        assert whole.std(0).min() > 0.01


@BOTH
@torch.no_grad()
def test_architectures_with_the_same_slices_have_weights_of_their_own(by_neuron):
    layer, found = blended(2, by_neuron), []
    for architecture in (NARROW, ELSEWHERE, NARROW):
        layer.activate(architecture)
        folded = layer.extract()
        found.append((folded.expand.weight, folded.contract.weight))
    for first, other, again in zip(*found):
        assert (first - other).abs().max() > 1e-3
        assert torch.equal(first, again)


def gradients(layer, architecture):
    layer.zero_grad(set_to_none=True)
    layer.activate(architecture)
    layer(example(architecture)).square().sum().backward()
    return dict(layer.named_parameters())


@BOTH
def test_routers_and_all_experts_learn_once_experts_differ(by_neuron):
    layer = blended(3, by_neuron)
    for name, parameter in gradients(layer, WIDE).items():
        assert parameter.grad.abs().sum() > 1e-4, name
    for linear in layer.linears:
        for expert in linear.layers[1:]:
            expert.load_state_dict(linear.layers[0].state_dict())
    for name, parameter in gradients(layer, WIDE).items():
        most = parameter.grad.abs().max()
        assert most < 1e-5 if name.startswith("routers") else most > 1e-3, name


@BOTH
def test_weights_outside_of_an_architecture_have_no_gradient(by_neuron):
    layer = blended(2, by_neuron)
    gradients(layer, NARROW)
    sizes = ((3, 2), (2, 3))
    for linear, (outputs, inputs) in zip(layer.linears, sizes):
        for expert in linear.layers:
            inside = torch.zeros_like(expert.weight)
            inside[:outputs, :inputs] = 1
            assert ((expert.weight.grad != 0) <= (inside != 0)).all()
            assert (expert.weight.grad[:outputs, :inputs] != 0).any()
            assert not expert.bias.grad[outputs:].any()
    if by_neuron:
        for router, (outputs, _) in zip(layer.routers, sizes):
            for last in router.leave:
                assert last.bias.grad[:outputs].all()
                assert not last.weight.grad[outputs:].any()


@torch.no_grad()
def test_one_blend_for_a_layer_is_equal_blends_of_all_neurons():
    whole, single = blended(3, by_neuron=False), blended(3, by_neuron=True)
    for mine, theirs in zip(single.linears, whole.linears):
        mine.load_state_dict(theirs.state_dict())
    for router in single.routers:
        router.enter.load_state_dict(whole.routers[0].enter.state_dict())
        for mine, theirs in zip(router.leave, whole.routers[0].leave):
            mine.weight.copy_(theirs.weight.expand_as(mine.weight))
            mine.bias.copy_(theirs.bias.expand_as(mine.bias))
    for architecture in ALL:
        for layer in (whole, single):
            layer.activate(architecture)
        x = example(architecture)
        assert torch.allclose(whole(x), single(x), atol=1e-6)


@BOTH
@torch.no_grad()
def test_hidden_units_change_places_in_all_experts_alike(by_neuron):
    layer, x = blended(3, by_neuron), example(WIDE)
    before, order = layer(x), torch.tensor([3, 0, 5, 1, 4, 2])
    (hidden,) = layer.hidden_channels()
    assert hidden.reader.weight.shape == (4, 6)
    assert hidden.reader.in_size is HIDDEN
    for tensor, dimension in hidden.carriers:
        tensor.copy_(tensor.index_select(dimension, order))
    assert torch.allclose(layer(x), before, atol=1e-6)


def test_a_mixture_of_choices_is_refused():
    with pytest.raises(TypeError, match="cannot run a mixture of choices"):
        blended().activate(Relaxation({"embed": {2: 0.5, 4: 0.5}, "hidden": 3, "other": 0}))


def test_routing_keeps_its_precision_in_autocast():
    layer = blended(2, by_neuron=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(one.dtype == torch.float32 for one in layer.routing())
