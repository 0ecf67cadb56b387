"""The space of networks between a device and a server: what is cut, what is sent, and what the encoders compute."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from nas.objectives import costs_of
from search_spaces.errors import FieldError
from search_spaces.families.split import split
from search_spaces.networks.split_network import Encoder
from search_spaces.wire import STEPS, Wire
from search_spaces.wire_bits import sent_bytes
from supernets import Supernet
from tests.search_spaces.split_networks import Residual, residual, residual_space
from tests.supernets.helpers import scrambled


@pytest.fixture(params=["slimmable", "ensemble"])
def space(request):
    return residual_space(request.param)


def images(n: int = 3) -> torch.Tensor:
    return torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(3))


def member(space, cut="layer1", width=0.5, bottleneck=3, bits=8):
    return space.architecture({"cut": cut, "width": width, "bottleneck": bottleneck, "bits": bits})


# ---- what is cut ----------------------------------------------------------------------------------------------------


def test_cuts_lie_behind_the_last_block_of_each_size_but_the_smallest():
    cut, *rest = residual_space().decisions
    assert cut.choices == ("layer2", "layer1", "input", "none")
    assert [(one.name, one.parent, one.active_when) for one in rest] == [
        (name, "cut", ("layer2", "layer1")) for name in ("width", "bottleneck", "bits")
    ]
    assert residual_space().count() == 2 * 4 * 2 * 3 + 2


@pytest.mark.parametrize(
    ("cuts", "told"),
    [
        (["layer1.0.conv1"], "other values pass beside 'layer1.0.conv1', as by a shortcut, and one is sent; possible"),
        (["layer1.1.shortcut"], "must be modules of tests:residual, got 'layer1.1.shortcut'"),
        (["layer9"], "must be modules of tests:residual, got 'layer9'; possible are layer1.0, layer1, layer2, layer3"),
        (["fc"], "must leave something for the server, nothing of tests:residual is behind 'fc'"),
        (["stem"], r"must be behind feature maps .* 'stem' gives \[8, 16, 16\]"),
        (["layer1", "layer1.1"], "must be different places, got layer1, layer1.1"),
    ],
)
def test_a_cut_where_not_everything_passes_is_refused_in_one_line(cuts, told):
    with pytest.raises(FieldError, match=told) as error:
        residual_space(cuts=tuple(cuts))
    assert error.value.field == "cuts"
    assert "\n" not in str(error.value)


def test_a_cut_may_lie_between_two_blocks_of_a_stage():
    space = residual_space(cuts=("layer2", "layer1.0"))
    assert space.decisions[0].choices == ("layer2", "layer1.0", "input", "none")
    pieces = Supernet(space).network.tail.pieces
    assert [sorted({name.partition(".")[0] for name, _ in one.named_parameters()}) for one in pieces] == [
        ["layer1", "stem"],
        ["layer1", "layer2"],
        ["fc", "layer3"],
    ]


def test_a_network_that_is_not_cut_is_the_network_itself():
    torch.manual_seed(1)
    whole = Residual().eval()
    supernet = Supernet(residual_space()).eval()
    named = dict(whole.named_parameters()) | dict(whole.named_buffers())
    for piece in supernet.network.tail.pieces:
        piece.load_state_dict({name: named[name] for name in piece.state_dict()}, strict=True)
    for cut in ("input", "none"):
        subnet = supernet.extract(supernet.space.architecture({"cut": cut})).eval()
        assert torch.allclose(subnet(images()), whole(images()), atol=1e-6)
        assert sum(p.numel() for p in subnet.parameters()) == sum(p.numel() for p in whole.parameters())


def test_a_weight_file_of_the_whole_network_goes_into_its_pieces(tmp_path):
    torch.manual_seed(2)
    whole = Residual().eval()
    torch.save(whole.state_dict(), tmp_path / "w.pt")
    space = split(
        **{"model": "tests:residual", "call_own": residual, "classes": 4, "channels": 1, "image_size": 16},
        checkpoint=str(tmp_path / "w.pt"),
        head="kept",
    )
    supernet = Supernet(space).eval()
    assert space.weights is not None
    space.weights(supernet.network)
    assert torch.allclose(supernet(images()), whole(images()), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "field", "told"),
    [
        ({"bits": (4, 9)}, "bits", "among 1 to 8 and 32"),
        ({"widths": (0.0, 1.0)}, "widths", "from above 0 to 1"),
        ({"bottlenecks": ()}, "bottlenecks", "different numbers from 1"),
        ({"encoder": "wide"}, "encoder", "slimmable or ensemble"),
        ({"encoder": "ensemble", "widths": (0.3, 1.0)}, "widths", "whole numbers of 4 members, got 0.3"),
        ({"encoder": "ensemble", "encoder_width": 30}, "encoder_width", "multiple of the 4 members"),
        ({"pretrained": True}, "pretrained", "must be left out for small_mobilenet_v3"),
        ({"model_options": {"expand": 3}}, "model_options", "options of small_mobilenet_v3: .*expand"),
        ({"model_options": {"strides": (3, 1, 1)}}, "model_options.strides", "1 or 2"),
        ({"model": "test_resnet", "model_options": {"width": 3}}, "model_options", "left out for 'test_resnet'"),
        ({"model": "own:function"}, "model", "outside a job"),
    ],
)
def test_options_that_make_no_space_are_refused_before_anything_is_traced(options, field, told):
    with pytest.raises(FieldError, match=told) as error:
        split(**options)
    assert error.value.field == field


# ---- what is sent ---------------------------------------------------------------------------------------------------


def test_bytes_are_counted_without_gaps():
    assert sent_bytes(12 * 8 * 8, 8) == 768
    assert sent_bytes(3 * 8 * 8, 4) == 96
    assert [sent_bytes(3, bits) for bits in (1, 2, 8, 32)] == [1, 1, 3, 12]


def test_a_space_counts_the_bytes_of_its_bottleneck_of_the_image_and_of_nothing(space):
    wanted = {"layer1": 8 * 8, "layer2": 4 * 4}
    for cut, bottleneck, bits in product(wanted, (1, 3), (2, 8, 32)):
        found = space.costs([member(space, cut, bottleneck=bottleneck, bits=bits)])["sent_bytes"][0]
        assert found == bottleneck * wanted[cut] * bits / 8
    ends = [space.architecture({"cut": cut}) for cut in ("input", "none")]
    assert space.costs(ends)["sent_bytes"].tolist() == [16 * 16, 0]
    assert space.costs(ends).units["sent_bytes"] == "bytes"


def test_costs_of_the_halves_are_those_of_the_modules(space):
    supernet = Supernet(space)
    for architecture in map(space.decode, space.sample_encodings(8, np.random.default_rng(0))):
        costs = space.costs([architecture])
        device, server = supernet.extract(architecture).halves()
        for name, half in (("device", device), ("server", server)):
            assert costs[f"{name}_params"][0] == sum(p.numel() for p in half.parameters())
        for name in ("params", "macs"):
            assert costs[name] == costs[f"device_{name}"] + costs[f"server_{name}"]


def test_limits_on_a_cost_that_the_largest_network_does_not_have_are_possible():
    of = {cost.name: cost for cost in costs_of(residual_space())}
    assert (of["sent_bytes"].low, of["sent_bytes"].high) == (0, 3 * 8 * 8 * 4)
    assert (of["device_macs"].low, of["server_macs"].low) == (0, 0)


@pytest.mark.parametrize("bits", [*STEPS, 32])
def test_numbers_arrive_within_half_a_step(bits):
    wire, x = Wire(bits), torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0)) * 3
    if bits == 32:
        assert torch.equal(wire(x), x)
        return
    codes, reach = wire.codes(x), STEPS[bits] * 2 ** (bits - 1)
    assert codes.dtype == torch.uint8
    assert set(codes.unique().tolist()) <= set(range(2**bits))
    inside = x.abs() <= reach
    assert (wire(x) - x).abs()[inside].max() <= STEPS[bits] / 2 + 1e-6
    assert (wire(x).abs() <= reach).all()
    assert torch.equal(wire.values(codes), wire(x))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 8])
def test_steps_are_those_that_lose_least_of_normal_numbers(bits):
    x = torch.linspace(-8, 8, 40_001, dtype=torch.float64)
    density = torch.exp(-x.square() / 2)

    def lost(step: float) -> float:
        half = 2 ** (bits - 1)
        arrived = ((x / step).floor().clamp(-half, half - 1) + 0.5) * step
        return float(((arrived - x).square() * density).sum())

    best = min(np.linspace(0.97, 1.03, 61), key=lambda factor: lost(STEPS[bits] * factor))
    assert best == pytest.approx(1, abs=0.006)


def test_gradients_pass_straight_through_where_numbers_are_within_reach():
    x = torch.tensor([-5.0, -1.0, 0.2, 1.9, 2.1], requires_grad=True)
    Wire(2).train()(x).backward(torch.arange(1.0, 6.0))
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 3, 4, 0]


# ---- what encoders compute ------------------------------------------------------------------------------------------


def test_weights_beyond_the_width_change_nothing(space):
    supernet = scrambled(Supernet(space)).eval()
    supernet.activate(member(space, width=0.5, bottleneck=1, bits=32))
    before = supernet(images())
    encoder = supernet.network.encoder.operation("layer1")
    with torch.no_grad():
        for name, tensor in encoder.named_parameters():
            if name.startswith("layers"):
                tensor[4:].add_(1)
            if tensor.ndim == 4 and not name.startswith("layers.0") and tensor.shape[1] == 8:
                tensor[:, 4:].add_(1)
        encoder.bottleneck[0].weight[1:].add_(1)
    assert torch.equal(supernet(images()), before)
    encoder.bottleneck[0].weight.data[0, 3].add_(1)
    assert not torch.equal(supernet(images()), before)


def test_widths_are_switched_without_other_weights(space):
    supernet = Supernet(space)
    count, places = sum(p.numel() for p in supernet.parameters()), [p.data_ptr() for p in supernet.parameters()]
    for architecture in map(space.decode, space.sample_encodings(6, np.random.default_rng(1))):
        supernet.activate(architecture)
        supernet(images())
    assert sum(p.numel() for p in supernet.parameters()) == count
    encoder = supernet.network.encoder.operation("layer1")  # no more memory than the widest needs
    widest = space.costs([member(space, width=1.0)])["device_params"][0]
    assert sum(p.numel() for p in encoder.parameters()) == widest
    assert [p.data_ptr() for p in supernet.parameters()] == places


def members_one_by_one(encoder: Encoder, x: torch.Tensor, count: int, per_member: int) -> torch.Tensor:
    """Return the features of small networks that know nothing of each other, side by side."""
    features = []
    for number in range(count):
        own, y = slice(number * per_member, (number + 1) * per_member), x
        for layer in encoder.layers:
            conv, norm = layer.conv, layer.norm
            y = nn.functional.conv2d(y, conv.weight[own], None, conv.stride, conv.padding)
            y = nn.functional.batch_norm(
                y, norm.running_mean[own], norm.running_var[own], norm.weight[own], norm.bias[own], eps=norm.eps
            )
            y = y.relu()
        features.append(y)
    return torch.cat(features, 1)


@pytest.mark.parametrize("width", [0.25, 0.5, 0.75, 1.0])
def test_an_ensemble_is_so_many_small_networks_beside_each_other(width):
    space = residual_space("ensemble")
    subnet = scrambled(Supernet(space)).eval().extract(member(space, width=width, bits=32)).eval()
    assert isinstance(subnet.encoder, Encoder)
    expected = members_one_by_one(subnet.encoder, images(), int(4 * width), 2)
    assert torch.allclose(subnet.encoder.layers(images()), expected, atol=1e-6)


def test_the_cost_of_an_ensemble_is_linear_in_its_members():
    space, widths = residual_space("ensemble"), (0.25, 0.5, 0.75, 1.0)
    for name in ("device_macs", "device_params"):
        found = space.costs([member(space, width=width) for width in widths])[name]
        assert (found == found[0] * np.arange(1, 5)).all(), name
    slimmable = residual_space().costs([member(residual_space(), width=width) for width in widths])["device_macs"]
    assert slimmable[3] > 8 * slimmable[0]


def test_halves_are_the_whole(space):
    supernet = scrambled(Supernet(space)).eval()
    for architecture in map(space.decode, np.unique(space.sample_encodings(30, np.random.default_rng(2)), axis=0)):
        subnet = supernet.extract(architecture).eval()
        device, server = subnet.halves()
        assert torch.equal(server(device(images())), subnet(images()))


def test_an_elastic_network_has_no_halves(space):
    with pytest.raises(TypeError, match="extract an architecture first"):
        Supernet(space).network.halves()


def test_a_network_without_feature_maps_is_refused():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    with pytest.raises(FieldError, match=r"model tests:flat has no feature maps .*: it cannot be cut"):
        split(model="tests:flat", call_own=lambda target, offered: flat, classes=4, channels=1, image_size=8)


def test_a_network_of_timm_can_be_cut():
    pytest.importorskip("timm")
    space = split(model="test_resnet", bottlenecks=(2,), bits=(8,), encoder_width=8)
    assert space.decisions[0].choices[-2:] == ("input", "none")
    supernet = Supernet(space).eval()
    for architecture in (space.smallest(), space.largest()):
        subnet = supernet.extract(architecture).eval()
        x = torch.randn(2, 3, 32, 32)
        supernet.activate(architecture)
        assert torch.allclose(subnet(x), supernet(x), atol=1e-5)
