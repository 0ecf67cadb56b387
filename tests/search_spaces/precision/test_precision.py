"""Spaces with bits: their networks against rules, their costs against what really runs."""

import json
import pickle
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import FieldError, Space
from search_spaces.anatomy import Anatomy, anatomy
from search_spaces.elastic.quantized import products, quantized_layers
from search_spaces.families.autoformer import small_autoformer
from search_spaces.families.conv_macro import conv_macro
from search_spaces.families.darts import darts
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench101 import nasbench101
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.pooling import pooling
from search_spaces.inputs import images
from search_spaces.precision import PrecisionConfig, with_precision
from search_spaces.precision.transform import stage_of
from supernets import Supernet
from supernets.transforms import sort_channels
from tests.search_spaces.elastic.traced_networks import Convolutional

BOTH = PrecisionConfig(granularity="both", symmetry="both")


@cache
def plain_space(name: str) -> Space:
    torch.manual_seed(0)
    if name == "mobilenet":
        sizes = {"stage_widths": (8, 16), "strides": (1, 2), "depths": (1, 2)}
        return small_mobilenet_v3(image_size=8, channels=1, classes=4, **sizes)
    if name == "nasbench201":
        return nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4)
    if name == "transformer":
        sizes = {"embeds": (16, 32), "heads": (1, 2), "ratios": (1.0, 2.0), "depths": (1, 2), "head_width": 8}
        return small_autoformer(image_size=16, channels=1, classes=4, **sizes)
    if name == "traced":
        widths = {"least_width": 2, "divisor": 2}
        return Space.from_module(Convolutional(), torch.randn(2, 3, 16, 16), resolutions=(8, 16), **widths)
    return conv_macro(image_size=12, channels=1, classes=4)


NAMES = ["mobilenet", "nasbench201", "transformer", "traced", "conv_macro"]


@cache
def space_of(name: str) -> Space:
    return with_precision(plain_space(name), BOTH)


def drawn(space: Space, count: int = 4) -> list:
    generator = np.random.default_rng(0)
    return [space.smallest(), space.largest(), *(space.sample(generator) for _ in range(count))]


def counted(network: nn.Module, inputs: tuple, edges: int = 2) -> dict[str, float]:
    """Costs of a network, layer by layer as it runs; the first and the last one are left out of averages."""
    layers = dict(quantized_layers(network))
    macs: dict[str, int] = {}

    def count(name):
        def add(layer, _, output):
            macs[name] = macs.get(name, 0) + output.numel() * layer.weight[0].numel()

        return add

    hooks = [layer.register_forward_hook(count(name)) for name, layer in layers.items()]
    with torch.no_grad():
        network.eval()(*inputs)
    for hook in hooks:
        hook.remove()
    bits = {name: (layer.quantizer.weight.bits, layer.quantizer.input.bits) for name, layer in layers.items()}
    sizes = {name: layer.weight.numel() for name, layer in layers.items()}
    params = sum(one.numel() for one in network.parameters())
    inner = list(macs)[1:-1]
    return {
        "params": params,
        "bytes": sum(-(-sizes[n] * bits[n][0] // 8) for n in layers) + 4 * (params - sum(sizes.values())),
        "weight_bits_by_layer": sum(bits[n][0] for n in inner) / max(1, len(inner)),
        "activation_bits_by_layer": sum(bits[n][1] for n in inner) / max(1, len(inner)),
        "weight_bits_by_parameter": sum(bits[n][0] * sizes[n] for n in inner) / max(1, sum(sizes[n] for n in inner)),
        "macs": sum(macs.values()),
        "bit_operations": sum(macs[n] * bits[n][0] * bits[n][1] for n in macs),
    }


@pytest.mark.parametrize("name", NAMES)
def test_costs_are_those_of_the_networks(name: str) -> None:
    space = space_of(name)
    for architecture in drawn(space):
        real = counted(space.subnet(architecture), space.example(architecture))
        said = {cost: column[0] for cost, column in space.costs([architecture]).items()}
        rest = said["macs"] - real.pop("macs")  # products without weights, such as those of attention
        assert (rest == 0) == (name != "transformer")
        real["bit_operations"] += rest * 32 * 32
        assert {cost: said[cost] for cost in real} == pytest.approx(real, rel=1e-12), dict(architecture)


@pytest.mark.parametrize("name", NAMES)
def test_costs_of_many_are_those_of_each(name: str) -> None:
    space = space_of(name)
    encodings = space.sample_encodings(40, np.random.default_rng(1))
    together = space.costs(encodings)
    for row, encoding in enumerate(encodings):
        alone = space.costs([space.decode(encoding)])
        assert {cost: column[row] for cost, column in together.items()} == {c: v[0] for c, v in alone.items()}
    assert set(space.units) >= {"bytes", "bit_operations"}


@pytest.mark.parametrize("name", NAMES)
def test_extracted_networks_compute_what_the_active_one_does_and_others_have_no_gradient(name: str) -> None:
    torch.manual_seed(0)
    space = space_of(name)
    supernet = Supernet(space).eval()
    supernet(*space.example(batch=2))  # fits what the largest sees
    for architecture in drawn(space, 2):
        x = space.example(architecture, batch=2)
        supernet.activate(architecture)
        supernet.zero_grad()
        expected = supernet(*x)
        expected.sum().backward()
        bits = {f"bits{value}" for key, value in architecture.items() if key.endswith("_bits")} | {"bits8"}
        for key, parameter in supernet.network.named_parameters():
            if ".scales." in key and parameter.grad is not None:
                assert key.rpartition(".")[2].partition("_")[0] in bits
        plain = supernet.extract(architecture).eval()
        assert torch.allclose(plain(*x), expected, atol=1e-5), dict(architecture)


@pytest.mark.parametrize("name", NAMES)
def test_the_space_without_bits_is_left_as_it_is(name: str) -> None:
    base, space = plain_space(name), space_of(name)
    assert space.decisions[: len(base.decisions)] == base.decisions
    assert base.simulated is None
    assert space.simulated is not None
    torch.manual_seed(3)
    theirs = Supernet(base).network.state_dict()
    torch.manual_seed(3)
    ours = Supernet(space).network.state_dict()
    assert all(torch.equal(ours[key], tensor) for key, tensor in theirs.items())
    assert all("quantizer" in key for key in ours.keys() - theirs.keys())


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_found_whether_they_round_or_not(name: str) -> None:
    plain, bits = (list(products(space.build())) for space in (plain_space(name), space_of(name)))
    assert [(one.name, one.kind) for one in bits] == [(one.name, one.kind) for one in plain]
    assert len(plain) > 3


@pytest.mark.parametrize("name", NAMES)
def test_what_is_measured_does_not_round(name: str) -> None:
    space = space_of(name)
    network = space.subnet(space.smallest())
    assert space.simulated is not None
    real = space.simulated.real(network)
    assert not quantized_layers(real)
    assert quantized_layers(network)
    assert all("quantizer" not in key for key in real.state_dict())


def test_bits_of_blocks_that_do_not_run_are_no_decisions() -> None:
    space = space_of("mobilenet")
    child = next(d for d in space.decisions if d.name == "stages.0.blocks.1.project.conv.weight_bits")
    assert (child.parent, child.active_when) == ("stage1.depth", (2,))
    cell = next(d for d in space_of("nasbench201").decisions if d.name.endswith("_bits"))
    assert cell.parent is not None
    assert cell.active_when == ("nor_conv_3x3",)


def test_architectures_are_counted_one_by_one() -> None:
    config = PrecisionConfig(weights=(2, 4), activations=(8,))
    base = nasbench201(width=4, cells=1, image_size=8, channels=1, classes=4)
    space = with_precision(base, config)
    small = space.restrict({"edge*": ["none", "nor_conv_3x3"]})
    layers = 3  # one cell in each of three stages
    free = 2 ** (2 * 3)  # residual blocks: two convolutions and a shortcut, twice
    assert small.count() == (1 + 2**layers) ** 6 * free


def test_layers_of_a_stage_share_their_bits_where_that_is_asked() -> None:
    space = with_precision(plain_space("mobilenet"), PrecisionConfig(per="stage", weights=(2, 8), activations=(8,)))
    names = [d.name for d in space.decisions if d.name.endswith("_bits")]
    assert names == [f"{one}.weight_bits" for one in ("first", "stages.0", "stages.1", "last", "feature")]
    assert [stage_of(one) for one in ("layer1.0.conv1", "blocks.3.attn.qkv", "stem.conv", "fc")] == [
        "layer1",
        "blocks.3",
        "stem",
        "fc",
    ]


def test_the_bits_of_one_network_are_decided_alone_and_edges_keep_theirs() -> None:
    config = PrecisionConfig(networks="largest", weights=(2, 3), activations=(4,))
    space = with_precision(plain_space("conv_macro"), config)
    assert {len(d.choices) for d in space.decisions if not d.name.endswith("_bits")} == {1}
    layers = quantized_layers(space.subnet(space.smallest()))
    assert [layer.quantizer.weight.bits for _, layer in layers] == [8, *[2] * (len(layers) - 2), 8]
    assert [layer.quantizer.input.bits for _, layer in layers] == [8, *[4] * (len(layers) - 2), 8]


class Vectors(nn.Module):
    """A network without layers that have bits."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("weights", (1, 4), "must be rising whole numbers from 2 to 8, got [1, 4]"),
        ("weights", (), "rising whole numbers"),
        ("activations", (4, 16), "from 2 to 8, got [4, 16]"),
        ("activations", (8, 4), "rising"),
        ("edges", 1, "must be from 2 to 8, got 1"),
        ("kinds", ("norm",), "one or both of convolution, linear; other layers have no precision of their own"),
        ("kinds", (), "one or both"),
    ],
)
def test_bits_and_layers_that_there_are_not_are_refused(field: str, value: object, said: str) -> None:
    with pytest.raises(FieldError, match=field) as caught:
        PrecisionConfig(**{field: value})  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_spaces_that_cannot_have_bits_say_why() -> None:
    with pytest.raises(FieldError, match="nasbench101 has no elastic network"):
        with_precision(nasbench101(), PrecisionConfig())
    with pytest.raises(FieldError, match="supernets of darts have 3,436 layers, at most 1,000 can have bits"):
        with_precision(darts(), PrecisionConfig())
    with pytest.raises(FieldError, match="multiplies follows decisions of pooling that are not its own"):
        with_precision(pooling(image_size=8, classes=4), PrecisionConfig())
    none = Space(name="vectors", decisions=(), inputs=images(1, 4), build=Vectors)
    with pytest.raises(FieldError, match="it has no convolution or linear layers"):
        with_precision(none, PrecisionConfig())


def test_a_space_with_bits_goes_to_other_processes() -> None:
    space = space_of("nasbench201")
    other = pickle.loads(pickle.dumps(space))
    architecture = space.sample(np.random.default_rng(0))
    assert other.costs([architecture]) == space.costs([architecture])


def test_one_hot_features_say_every_choice_of_bits_once() -> None:
    bits = tuple(range(2, 9))
    config = PrecisionConfig(weights=bits, activations=bits, granularity="both", symmetry="both", networks="largest")
    space = with_precision(plain_space("conv_macro"), config)
    layers = sum(d.name.endswith(".weight_bits") for d in space.decisions)
    encodings = space.sample_encodings(20, np.random.default_rng(0))
    sizes = len(plain_space("conv_macro").decisions)  # of one choice each
    features = space.features(encodings)[:, sizes:]
    assert features.shape == (20, 6 + 2 * 7 * layers)
    starts = [0, 2, 4, *range(6, 6 + 2 * 7 * layers, 7)]
    assert np.array_equal(np.add.reduceat(features, starts, axis=1), np.ones((20, 3 + 2 * layers)))


@pytest.mark.parametrize("name", ["mobilenet", "traced"])
def test_scales_of_channels_change_places_with_their_channels(name: str) -> None:
    torch.manual_seed(0)
    space = space_of(name)
    supernet = Supernet(space).eval()
    x = space.example(batch=2)
    before = supernet(*x)
    scales = {key: t.clone() for key, t in supernet.network.state_dict().items() if key.endswith("bits8_channel")}
    if name == "mobilenet":
        sort_channels(supernet)
    else:
        graph: Any = supernet.network
        orders = {group.name: torch.randperm(group.size) for group in graph.traced.groups}
        graph.reorder(orders)
    moved = [key for key, t in scales.items() if not torch.equal(supernet.network.state_dict()[key], t)]
    assert len(moved) >= 4
    assert torch.allclose(supernet(*x), before, atol=1e-5)


def test_relaxations_of_bits_are_refused() -> None:
    space = space_of("conv_macro")
    supernet = Supernet(space)
    mixture = space.relaxation({d.name: dict.fromkeys(d.choices, 0.5) for d in space.decisions})
    with pytest.raises(TypeError, match="cannot be mixed"):
        supernet.relax(mixture)


@pytest.mark.parametrize("name", NAMES)
def test_the_anatomy_of_an_architecture_tells_the_bits_of_the_layers_that_run(name: str) -> None:
    space = space_of(name)
    architecture = space.sample(np.random.default_rng(2))
    found = anatomy(space, architecture)
    (bars,) = found.bars
    layers = quantized_layers(space.subnet(architecture))
    bits = sorted((layer.quantizer.weight.bits, layer.quantizer.input.bits) for _, layer in layers)
    assert sorted(numbers for _, numbers in bars.rows) == bits
    assert Anatomy.from_json(json.loads(json.dumps(found.to_json()))) == found
