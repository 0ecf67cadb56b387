"""Activation, extraction, gradients, saving."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from search_spaces import InvalidArchitecture
from search_spaces.blocks import SqueezeExcite
from search_spaces.elastic import Elastic, ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3, small_mobilenet_v3
from supernets import Supernet, sort_channels
from tests.supernets.helpers import scrambled


@pytest.mark.parametrize(
    ("space", "random_architectures"),
    [
        (small_mobilenet_v3(), 200),
        (ofa_mobilenet_v3(classes=10, resolutions=(96, 128)), 8),
        (small_mobilenet_v3(image_size=8, channels=1, stage_widths=(16, 24), strides=(2, 1)), 50),
    ],
    ids=["small", "ofa", "digits"],
)
def test_extracted_subnet_equals_active_supernet(space, random_architectures):
    supernet = scrambled(Supernet(space)).eval()
    generator = np.random.default_rng(0)
    x = torch.randn(2, *space.inputs[0].shape)
    outputs = []
    drawn = [space.sample(generator) for _ in range(random_architectures)]
    for architecture in [space.smallest(), space.largest(), *drawn]:
        subnet = supernet.extract(architecture)
        with torch.no_grad():
            outputs.append(supernet(x))
            assert (subnet(x) - outputs[-1]).abs().max() <= 1e-5
    assert torch.stack(outputs).std(dim=0).min() > 1e-3  # the architectures really compute different things


def test_extracted_subnet_holds_no_elastic_code():
    supernet = Supernet(small_mobilenet_v3())
    for module in supernet.extract(supernet.space.smallest()).modules():
        assert not isinstance(module, Elastic)
        assert not type(module).__module__.startswith("search_spaces.elastic")


def test_extracted_subnet_shares_no_memory():
    supernet = Supernet(small_mobilenet_v3())
    subnet = supernet.extract()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    with torch.no_grad():
        for tensor in [*subnet.parameters(), *subnet.buffers()]:
            tensor.add_(1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())


def active_region(layer: Elastic, parameter: torch.Tensor) -> tuple[slice, ...]:
    """Where a weight or bias of a leaf layer is read."""
    if isinstance(layer, ElasticBatchNorm2d):
        return (slice(layer.active_size),)
    if parameter.dim() == 1 or (isinstance(layer, ElasticConv2d) and layer.depthwise):
        return (slice(layer.active_out),)
    return (slice(layer.active_out), slice(layer.active_in))


def test_gradients_are_zero_outside_the_active_weights():
    space = small_mobilenet_v3()
    supernet = scrambled(Supernet(space)).train()
    x = torch.randn(16, *space.inputs[0].shape)
    for architecture in [space.smallest(), *(space.sample(np.random.default_rng(seed)) for seed in range(5))]:
        supernet.zero_grad(set_to_none=True)
        supernet.activate(architecture)
        supernet(x).square().sum().backward()
        skipped = [b for stage in supernet.network.stages for b in stage.blocks[stage.active_depth :]]
        assert all(p.grad is None for block in skipped for p in block.parameters())
        reached = outside = 0
        for layer in supernet.modules():
            if not isinstance(layer, ElasticConv2d | ElasticBatchNorm2d | ElasticLinear) or layer.weight.grad is None:
                continue
            for parameter in (layer.weight, layer.bias):
                if parameter is not None:
                    gradient = parameter.grad.clone()
                    region = active_region(layer, parameter)
                    reached += int((gradient[region] != 0).sum())
                    gradient[region] = 0
                    outside += int((gradient != 0).sum())
        assert outside == 0
        assert reached >= 0.9 * space.costs([architecture])["params"][0]  # the rest: channels that ReLU keeps at zero


def test_gradients_of_two_subnets_add_up():
    space = small_mobilenet_v3()
    supernet = scrambled(Supernet(space)).train()
    x = torch.randn(4, *space.inputs[0].shape)
    pair = [space.smallest(), space.largest()]

    def gradients(architectures):
        supernet.zero_grad(set_to_none=True)
        for architecture in architectures:
            supernet.activate(architecture)
            supernet(x).square().mean().backward()
        return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in supernet.named_parameters()}

    both, first, second = gradients(pair), gradients(pair[:1]), gradients(pair[1:])
    assert all(torch.allclose(both[name], first[name] + second[name], rtol=1e-4, atol=1e-5) for name in both)


def test_activation_refuses_what_is_not_of_the_space():
    supernet = Supernet(small_mobilenet_v3())
    with pytest.raises(InvalidArchitecture, match=r"resolution = 64 is not one of \(32,\)"):
        supernet.activate(small_mobilenet_v3(image_size=64).largest())


def test_saved_supernet_is_loaded_again(tmp_path):
    space = small_mobilenet_v3()
    supernet = scrambled(Supernet(space)).eval()
    supernet.save(tmp_path / "s.safetensors")
    other = Supernet(space).eval()
    other.load(tmp_path / "s.safetensors")
    x = torch.randn(2, *space.inputs[0].shape)
    assert torch.equal(other(x), supernet(x))


def test_a_supernet_that_an_earlier_version_saved_is_loaded(tmp_path):
    """It wrote the shape of one input, and the number of classes."""
    space = small_mobilenet_v3()
    supernet = scrambled(Supernet(space)).eval()
    decisions = {decision.name: decision.choices for decision in space.decisions}
    earlier = {"name": space.name, "decisions": decisions, "input": (3, 32, 32), "classes": 10}
    save_file(supernet.network.state_dict(), tmp_path / "s.safetensors", metadata={"space": json.dumps(earlier)})
    other = Supernet(space).eval()
    other.load(tmp_path / "s.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(other.state_dict().values(), supernet.state_dict().values()))


def test_a_supernet_with_other_outputs_is_refused_and_nothing_is_changed(tmp_path):
    Supernet(small_mobilenet_v3(classes=4)).save(tmp_path / "s.safetensors")
    ours = Supernet(small_mobilenet_v3())
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(ValueError, match="decisions or shapes differ"):
        ours.load(tmp_path / "s.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def test_supernet_of_another_space_is_refused(tmp_path):
    Supernet(small_mobilenet_v3()).save(tmp_path / "s.safetensors")
    with pytest.raises(ValueError, match="decisions or shapes differ"):
        Supernet(small_mobilenet_v3(kernels=(3, 5))).load(tmp_path / "s.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    with pytest.raises(ValueError, match="is not a supernet"):
        Supernet(small_mobilenet_v3()).load(tmp_path / "broken.safetensors")


def sorted_importances(supernet):
    for block in supernet.modules():
        if hasattr(block, "hidden_channels"):
            for hidden in block.hidden_channels():
                yield hidden, hidden.reader.weight.abs().sum((0, 2, 3))


def test_channel_sorting_leaves_the_largest_network_unchanged():
    space = small_mobilenet_v3()
    supernet = scrambled(Supernet(space)).eval()
    x = torch.randn(4, *space.inputs[0].shape)
    before = supernet(x)
    sort_channels(supernet)
    assert (supernet(x) - before).abs().max() < 1e-5
    for _, importance in sorted_importances(supernet):
        assert (importance.diff() <= 1e-6).all()
    weights = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    sort_channels(supernet)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in supernet.state_dict().items())


def test_channel_sorting_keeps_trained_widths():
    space = small_mobilenet_v3(expands=(2, 3, 4))
    supernet = scrambled(Supernet(space)).eval()
    x = torch.randn(4, *space.inputs[0].shape)
    trained = space.restrict({"*.expand": (3, 4)})
    architectures = [
        trained.smallest(),
        trained.largest(),
        *(trained.sample(np.random.default_rng(i)) for i in range(5)),
    ]

    def outputs():
        for architecture in architectures:
            supernet.activate(architecture)
            yield supernet(x).detach()

    before = list(outputs())
    narrow = supernet.extract(space.smallest())(x)
    sort_channels(supernet, trained=(3, 4))
    assert all((a - b).abs().max() < 1e-5 for a, b in zip(before, outputs()))
    assert (supernet.extract(space.smallest())(x) - narrow).abs().max() > 1e-4  # narrower ones get better channels


def test_the_released_order_of_squeeze_units_would_change_trained_subnets():
    """Why ours keeps width groups; second implementation of the released rule: all units by importance, every time."""
    space = small_mobilenet_v3(expands=(2, 3, 4))
    supernet = scrambled(Supernet(space)).eval()
    sort_channels(supernet)
    narrow = space.restrict({"*.expand": (3,)}).largest()
    x = torch.randn(4, *space.inputs[0].shape)
    supernet.activate(narrow)
    before = supernet(x).detach()
    with torch.no_grad():
        for module in supernet.modules():
            if isinstance(module, SqueezeExcite):
                module.expand.weight.mul_(torch.rand(1, module.expand.weight.shape[1], 1, 1))  # training goes on
    trained = supernet(x).detach()
    assert (trained - before).abs().max() > 1e-4
    sort_channels(supernet, trained=(3, 4))
    assert (supernet(x) - trained).abs().max() < 1e-5
    with torch.no_grad():
        for module in supernet.modules():
            if isinstance(module, SqueezeExcite):
                order = module.expand.weight.abs().sum((0, 2, 3)).argsort(descending=True)
                module.expand.weight.copy_(module.expand.weight[:, order])
                module.reduce.weight.copy_(module.reduce.weight[order])
                module.reduce.bias.copy_(module.reduce.bias[order])
    assert (supernet(x) - trained).abs().max() > 1e-4
    supernet.activate(space.largest())
