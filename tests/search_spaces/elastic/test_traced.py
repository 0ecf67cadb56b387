"""The elastic network of a trace against the network that was traced."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search_spaces import Architecture
from search_spaces.elastic import Size, governed
from search_spaces.elastic.traced import ElasticGraph
from search_spaces.errors import FieldError
from search_spaces.plain import ElasticOnMeta, initialised
from search_spaces.tracing import Traced, trace
from supernets.calibration import calibrate, require_calibrated
from tests.search_spaces.elastic import traced_networks as networks
from tests.search_spaces.elastic.traced_networks import elastic, settings

NETWORKS = {
    "convolutional": (networks.Convolutional, (3, 16, 16)),
    "transformer": (networks.Transformer, (3, 16, 16)),
    "tiled": (networks.Tiled, (3, 16, 16)),
    "gated": (networks.Gated, (3, 8, 8)),
    "tied": (networks.Tied, (6,)),
    "blurred": (networks.Blurred, (3, 8, 8)),
    "standardised": (networks.StandardisedNetwork, (3, 8, 8)),
    "own precisions": (networks.OwnPrecisions, (3, 8, 8)),
}
_TRACES: dict[str, Traced] = {}


def example(name: str, batch: int = 3) -> Tensor:
    return torch.randn(batch, *NETWORKS[name][1], generator=torch.Generator().manual_seed(1))


def traced(name: str) -> Traced:
    """Return the trace of a network with weights of its own."""
    if name not in _TRACES:
        torch.manual_seed(0)
        _TRACES[name] = trace(NETWORKS[name][0]().eval(), (example(name, 1),))
    return replace(_TRACES[name], module=deepcopy(_TRACES[name].module))


@pytest.fixture(params=NETWORKS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_largest_equals_the_original_bit_for_bit(name: str):
    given = traced(name)
    original = deepcopy(given.module)
    network, x = elastic(given), example(name)
    assert torch.equal(network(x), original(x))
    for model in (network, original):
        model.train()
    outputs = []
    for model in (network, original):
        torch.manual_seed(3)
        outputs.append(model(x))
        outputs[-1].square().sum().backward()
    assert torch.equal(*outputs)
    theirs = original.state_dict()
    assert {key for key in network.state_dict() if not key.startswith("kernel_transforms.")} == set(theirs)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in theirs.items())
    gradients = dict(network.named_parameters())
    assert all(torch.equal(gradients[key].grad, one.grad) for key, one in original.named_parameters())


def test_an_extracted_network_equals_the_active_one_for_every_batch(name: str):
    given = traced(name)
    network = elastic(given)
    assert given.groups
    for setting in settings(given, 6):
        network.activate(setting)
        plain = network.extract()
        assert not plain.training
        for batch in (1, 5):
            x = example(name, batch)
            torch.testing.assert_close(plain(x), network(x), rtol=1e-5, atol=1e-6)
        copy = deepcopy(plain)
        assert copy.state_dict().keys() == plain.state_dict().keys() <= network.state_dict().keys()
        assert torch.equal(copy(x), plain(x))


def test_gradients_outside_of_the_active_part_are_zero(name: str):
    given = traced(name)
    network = elastic(given).train()
    network.activate(settings(given, 1)[0])
    network(example(name)).square().sum().backward()
    for group in given.groups:
        for tensor, dimension, places in network.uses(group.name):
            gradient = dict(network.named_parameters(remove_duplicate=False)).get(tensor)
            if gradient is not None and gradient.grad is not None:
                outside = gradient.grad.index_select(
                    dimension, torch.from_numpy(places[max(1, group.size // 4) :].ravel())
                )
                assert not outside.any(), tensor


def test_units_in_another_order_leave_the_function_of_the_largest(name: str):
    given = traced(name)
    network, x = elastic(given), example(name)
    expected = network(x)
    generator = torch.Generator().manual_seed(2)
    orders = {group.name: torch.randperm(group.size, generator=generator) for group in given.groups}
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.reorder(orders)
    torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5)
    assert any(not torch.equal(network.state_dict()[key], value) for key, value in before.items())


def test_a_new_order_takes_units_from_their_former_places():
    network = elastic(traced("convolutional"))
    weight, reader = network.blocks[0].bn1.weight, network.blocks[0].conv2.weight
    with torch.no_grad():
        weight.copy_(torch.arange(12.0))
        reader.copy_(torch.arange(12.0)[None, :, None, None].expand_as(reader))
    order = torch.arange(12).roll(5)
    network.reorder({"blocks.0.conv1.weight": order})
    assert torch.equal(weight, order.float())
    assert torch.equal(reader[3, :, 0, 0], order.float())
    with pytest.raises(ValueError, match="each of its 12 units once"):
        network.reorder({"blocks.0.conv1.weight": torch.zeros(12, dtype=torch.long)})


def test_a_network_on_the_meta_device_gives_subnets_with_fresh_weights(name: str):
    given = traced(name)

    def build() -> nn.Module:
        return elastic(given, module=NETWORKS[name][0]())

    on_meta = ElasticOnMeta(build)
    assert all(parameter.is_meta for parameter in on_meta.network.parameters())
    torch.manual_seed(4)
    subnet = on_meta.subnet(Architecture(settings(given, 2)[1]))
    assert torch.isfinite(subnet.eval()(example(name))).all()
    own = elastic(given)
    own.activate(settings(given, 2)[1])
    subnet.load_state_dict(own.extract().state_dict())
    torch.testing.assert_close(subnet(example(name)), own(example(name)), rtol=1e-5, atol=1e-6)


# ---- one network that has everything ---------------------------------------------------------------------------------


@pytest.fixture
def convolutional() -> ElasticGraph:
    return elastic(traced("convolutional"))


def test_only_kept_channels_change_their_statistics(convolutional: ElasticGraph):
    convolutional.train()
    before = convolutional.blocks[0].bn1.running_mean.clone()
    convolutional.activate({"blocks.0.conv1.weight": 2})
    convolutional(example("convolutional"))
    changed = convolutional.blocks[0].bn1.running_mean != before
    assert changed.tolist() == [True] * 6 + [False] * 6
    assert int(convolutional.blocks[0].bn1.num_batches_tracked) == 1


def test_a_decision_that_is_missing_leaves_its_part_as_it_was(convolutional: ElasticGraph):
    convolutional.activate({"blocks.0.conv1.weight": 1, "run blocks.1": 0})
    convolutional.activate({"blocks.1.conv1.weight": 2})
    plain = convolutional.extract()
    assert plain.get_submodule("blocks.0.conv1").out_channels == 3
    with pytest.raises(AttributeError):
        plain.get_submodule("blocks.1")


def test_extracted_layers_are_those_of_torch_under_their_paths(convolutional: ElasticGraph):
    convolutional.activate({"blocks.0.conv1.weight": 2, "kernel blocks.0.dw.weight": 3})
    plain = convolutional.train().extract()
    kinds = {path: type(plain.get_submodule(path)) for path in ("blocks.0.dw", "blocks.0.bn1", "blocks.0.act", "drop")}
    assert list(kinds.values()) == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout]
    depthwise = plain.get_submodule("blocks.0.dw")
    assert (depthwise.groups, depthwise.kernel_size, depthwise.padding) == (6, (3, 3), (1, 1))
    assert plain.training
    assert plain.get_submodule("blocks.0.bn1").training
    with pytest.raises(ValueError, match="not calibrated"):
        require_calibrated(plain)
    require_calibrated(calibrate(plain, [example("convolutional")]))


def test_small_kernels_come_from_learned_transforms(convolutional: ElasticGraph):
    with torch.no_grad():
        convolutional.kernel_transforms["blocks__0__dw__weight"].matrices["5to3"].mul_(2)
    x, whole = example("convolutional"), convolutional(example("convolutional"))
    convolutional.activate({"kernel blocks.0.dw.weight": 3})
    assert not torch.equal(convolutional(x), whole)
    kernel = convolutional.extract().get_submodule("blocks.0.dw").weight
    torch.testing.assert_close(kernel, 2 * convolutional.blocks[0].dw.weight[:, :, 1:-1, 1:-1])


def test_images_of_other_sizes_are_resized_and_followed():
    given = trace(networks.Convolutional().eval(), (example("convolutional", 1),), sides=(12, 8))
    network = elastic(given, resolution=Size("side", {8: 8, 12: 12, 16: 16}))
    network.activate({"side": 8})
    plain = network.extract()
    x = example("convolutional")
    assert torch.equal(plain(x), network(x))
    assert plain.get_submodule("blocks.0.conv1")(torch.zeros(1, 8, 4, 4)).shape[-1] == 4


def test_copies_and_moves_keep_the_setting(convolutional: ElasticGraph):
    x = example("convolutional")
    convolutional.activate({"blocks.0.conv1.weight": 2})
    expected = convolutional(x)
    copy = deepcopy(convolutional)
    assert torch.equal(copy(x), expected)
    with torch.no_grad():
        copy.head.weight.zero_()
    copy.activate({"blocks.0.conv1.weight": 1})
    assert torch.equal(convolutional(x), expected)
    convolutional.to(memory_format=torch.channels_last)
    torch.testing.assert_close(convolutional(x.to(memory_format=torch.channels_last)), expected)
    wide = convolutional.double()(x.double())
    torch.testing.assert_close(wide.float(), expected)


def test_governed_names_the_modules_of_every_choice(convolutional: ElasticGraph):
    found: dict[Any, set[str]] = {}
    names = {module: path for path, module in convolutional.named_modules()}
    for decision, choice, module in governed(convolutional):
        found.setdefault((decision, choice), set()).add(names[module])
    assert found[("run blocks.1", 1)] == {"blocks.1"}
    assert ("run blocks.1", 0) not in found
    for choice in (1, 2, 3, 4):
        assert "blocks.0.dw" in found[("blocks.0.conv1.weight", choice)]
    assert found[("kernel blocks.0.dw.weight", 3)] == {"blocks.0.dw"}


def test_what_a_trace_does_not_have_is_refused():
    given = traced("convolutional")
    for settings_, message in (
        ({"groups": {"stem": 4}}, "groups name 'stem'"),
        ({"groups": {"blocks.0.conv1.weight": 13}}, "must be one of 1 to 12, got 13"),
        ({"blocks": {"head": ("depth", frozenset({1}))}}, "blocks name 'head'"),
        ({"kernels": {given.kernels[0].node: 4}}, "must be one of 5, 3, 1, got 4"),
        ({"resolution": 24}, "resolution must be one of 16, got 24"),
    ):
        with pytest.raises(FieldError, match=message):
            ElasticGraph(given, **settings_)


def test_mixtures_are_refused(convolutional: ElasticGraph):
    for decision in ("blocks.0.conv1.weight", "run blocks.0"):
        with pytest.raises(TypeError, match="cannot be mixed"):
            convolutional.activate({decision: {1: 0.5, 4: 0.5}})


def test_regions_keep_their_precision_under_another_one():
    given = traced("own precisions")
    original, network, x = deepcopy(given.module), elastic(given), example("own precisions")
    for around in (True, False):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=around):
            assert torch.equal(network(x), original(x))
            assert torch.equal(network.extract()(x), original(x))
    network.activate({"conv.weight": 2, "stem.weight": 1})
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        active, plain = network(x), network.extract()
        assert torch.equal(plain(x), active)
    kinds = {type(plain.get_submodule(path)) for path in ("conv", "bn")}
    assert kinds == {nn.Conv2d, nn.BatchNorm2d}
    seen: list[str] = []
    plain.get_submodule("conv").register_forward_hook(lambda *_: seen.append("conv"))
    assert plain(x).shape == active.shape
    assert seen
    assert initialised(network.extract()) is not None


def test_outputs_keep_their_form():
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.other = nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Any:
            x = self.stem(x)
            return {"classes": self.one(x), "rest": [self.other(x), (x.mean(1), None)]}

    module, x = Heads(), torch.randn(3, 6)
    given = trace(module, (x,))
    network = elastic(given)
    for output in (network(x), network.extract()(x)):
        assert [type(part) for part in (output, output["rest"], output["rest"][1])] == [dict, list, tuple]
        assert output["rest"][1][1] is None
        assert torch.equal(output["classes"], module(x)["classes"])
    network.activate({"stem.weight": 1})
    assert network.extract()(x)["rest"][1][0].shape == (3,)


def test_extracted_networks_can_be_exported(convolutional: ElasticGraph):
    convolutional.activate({"blocks.0.conv1.weight": 2, "run blocks.1": 0})
    plain, batch = convolutional.extract(), torch.export.Dim("batch")
    x = example("convolutional")
    program = torch.export.export(plain, (x,), dynamic_shapes=({0: batch},), strict=False)
    torch.testing.assert_close(program.module()(example("convolutional", 7)), plain(example("convolutional", 7)))


@pytest.mark.parametrize("lacks", ["weight", "bias"])
def test_norms_without_weight_or_bias_stay_so(lacks: str):
    norms = (nn.GroupNorm(1, 8), nn.BatchNorm2d(8))
    for norm in norms:
        setattr(norm, lacks, None)
    module = nn.Sequential(nn.Conv2d(3, 8, 1), norms[0], nn.ReLU(), norms[1], nn.Conv2d(8, 2, 1)).eval()
    x = torch.randn(3, 3, 4, 4)
    network = elastic(trace(module, (x,)))
    plain = network.extract()
    assert {name for name, _ in plain.named_parameters()} == {name for name, _ in module.named_parameters()}
    network.activate({"0.weight": 2})
    with torch.no_grad():
        assert torch.equal(network.extract()(x), network(x))


def test_a_tiled_pattern_follows_the_size_of_images():
    class Tiling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 2)
            self.window = nn.Parameter(torch.randn(1, 8, 2, 2))

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.head((x + self.window.tile((x.shape[-2] // 2, x.shape[-1] // 2))).relu().mean((2, 3)))

    module, x = Tiling(), torch.randn(3, 3, 8, 8)
    given = trace(module, (x,), sides=(4,))
    network = ElasticGraph(given, resolution=Size("resolution", {4: 4, 8: 8}))
    network.activate({"resolution": 4})
    smaller = torch.randn(3, 3, 4, 4)
    with torch.no_grad():
        assert torch.equal(network(smaller), module(smaller))
        assert torch.equal(network.extract()(smaller), module(smaller))
