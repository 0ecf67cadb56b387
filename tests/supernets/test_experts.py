"""Supernets of transformers whose feed-forward layers are blended of experts."""

import json
import pickle
from copy import deepcopy

import pytest
import torch

from search_spaces.elastic import Elastic
from search_spaces.elastic.experts import BlendedFeedForward
from search_spaces.errors import FieldError
from search_spaces.families.autoformer import small_autoformer
from search_spaces.families.bert import small_bert
from search_spaces.families.hat import small_hat
from search_spaces.families.language import language
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from supernets import ExpertsConfig, Supernet, load_supernet, sort_channels, with_experts
from supernets.experts import experts_of, experts_told
from supernets.folding import folded
from supernets.transforms.split import WHOLE, Partition, divided
from supernets.transforms.units import reorder, unit_groups
from supernets.whole_file import InvalidFile
from tests.search_spaces.counting import counted_products
from tests.search_spaces.transformers import drawn
from tests.supernets.helpers import scrambled

SPACES = {
    "small_hat": lambda: small_hat(source_vocabulary=10, target_vocabulary=10, length=5, longest=8),
    "small_autoformer": lambda: small_autoformer(image_size=16),
    "small_bert": lambda: small_bert(vocabulary=10, length=5, longest=8),
    "language": lambda: language(vocabulary=10, length=6, longest=8),
}
ROUTINGS = ["layer", "neuron"]


def tiny():
    return language(vocabulary=10, length=6, longest=8, embeds=(8, 16), heads=(1, 2), head_width=4, depths=(1, 2, 3))


def fresh(space, seed=0):
    torch.manual_seed(seed)
    return Supernet(space)


def same(one, other):
    mine, theirs = one.network.state_dict(), other.network.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("name", SPACES)
def test_extracted_networks_are_plain_compute_what_is_active_and_cost_what_the_space_says(name, routing):
    plain = SPACES[name]()
    space = with_experts(plain, ExpertsConfig(routing=routing, hidden=16, start="independent"))
    supernet, inputs = scrambled(fresh(space)).eval(), space.example(batch=2)
    for architecture in drawn(space, 3):
        subnet = supernet.extract(architecture)
        assert not any(isinstance(module, Elastic) for module in subnet.modules())
        with torch.no_grad():
            assert (subnet(*inputs) - supernet(*inputs)).abs().max() <= 1e-5
        stated = tuple(int(column[0]) for column in plain.costs([architecture]).values())
        assert counted_products(subnet, space.example()) == stated
        twin = space.subnet(architecture)
        assert {n: p.shape for n, p in twin.named_parameters()} == {n: p.shape for n, p in subnet.named_parameters()}


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("start", ["copies", "independent"])
def test_the_first_expert_has_the_weights_of_a_plain_supernet(routing, start):
    plain = fresh(tiny()).network.state_dict()
    mixed = fresh(with_experts(tiny(), ExpertsConfig(experts=3, routing=routing, start=start))).network.state_dict()
    found = {name.replace(".experts.0.", "."): tensor for name, tensor in mixed.items()}
    assert all(torch.equal(tensor, found[name]) for name, tensor in plain.items())


@pytest.mark.parametrize("routing", ROUTINGS)
@torch.no_grad()
def test_one_expert_computes_what_a_plain_supernet_does(routing):
    plain, alone = fresh(tiny()).eval(), fresh(with_experts(tiny(), ExpertsConfig(experts=1, routing=routing))).eval()
    inputs = plain.space.example(batch=2)
    for architecture in drawn(plain.space, 5):
        plain.activate(architecture)
        alone.activate(architecture)
        assert torch.equal(plain(*inputs), alone(*inputs))


def experts_of_first_layer(config):
    layer = fresh(with_experts(tiny(), config)).network.layers.blocks[0].feed_forward
    return [(one.weight.detach(), one.bias.detach()) for one in layer.linears[0].layers]


def test_copies_differ_by_noise_and_independent_experts_are_draws_like_the_first():
    equal = experts_of_first_layer(ExpertsConfig(noise=0.0))
    assert torch.equal(equal[0][0], equal[1][0])
    first, second = (weight for weight, _ in experts_of_first_layer(ExpertsConfig(noise=0.2)))
    assert 0.15 < float((second - first).std() / first.std()) < 0.25
    first, second = (weight for weight, _ in experts_of_first_layer(ExpertsConfig(start="independent")))
    assert abs(float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])) < 0.1
    assert 0.9 < float(second.std() / first.std()) < 1.1


@torch.no_grad()
def test_a_constant_input_gives_all_architectures_one_blend():
    inputs = tiny().restrict({"embed": [16]})
    one, other = inputs.smallest(), inputs.largest()
    for kind, differ in (("constant", False), ("architecture", True)):
        supernet = fresh(with_experts(tiny(), ExpertsConfig(start="independent", input=kind)))
        rows = [supernet.extract(a).layers[0].feed_forward.expand.weight[:16] for a in (one, other)]
        assert torch.equal(*rows) != differ


def test_a_saved_supernet_comes_back_exactly_and_is_activated(tmp_path):
    config = ExpertsConfig(routing="neuron", hidden=4, start="independent")
    space = with_experts(tiny(), config)
    supernet = fresh(space)
    supernet.save(tmp_path / "a.safetensors")
    for given in (space, tiny()):
        loaded = load_supernet(given, tmp_path / "a.safetensors")
        assert same(loaded, supernet)
        inputs = space.example(batch=2)
        assert torch.equal(loaded.eval()(*inputs), supernet.eval()(*inputs))
        for architecture in drawn(space, 3):
            assert torch.equal(loaded.extract(architecture)(*inputs), supernet.extract(architecture)(*inputs))


def test_a_file_with_other_experts_is_refused_in_one_line(tmp_path):
    fresh(with_experts(tiny(), ExpertsConfig())).save(tmp_path / "a.safetensors")
    fresh(tiny()).save(tmp_path / "b.safetensors")
    with pytest.raises(InvalidFile, match=r"with experts: 2, routing: layer, .*; this one has no experts"):
        Supernet(tiny()).load(tmp_path / "a.safetensors")
    other = Supernet(with_experts(tiny(), ExpertsConfig(input="constant")))
    with pytest.raises(InvalidFile, match=r"input: architecture; this one has .*input: constant"):
        other.load(tmp_path / "a.safetensors")
    with pytest.raises(InvalidFile, match="with no experts; this one has experts: 2"):
        other.load(tmp_path / "b.safetensors")


def test_a_split_supernet_keeps_the_numbers_of_the_whole_space(tmp_path):
    space = with_experts(tiny(), ExpertsConfig(start="independent"))
    tree = divided(WHOLE, 0, "embed", [[8], [16]])
    torch.manual_seed(0)
    parts = Partition(space, tree)
    whole, inputs = fresh(space), space.example(batch=2)
    for architecture in drawn(space, 4):
        assert torch.equal(parts.extract(architecture).eval()(*inputs), whole.extract(architecture).eval()(*inputs))
    parts.save(tmp_path / "parts.safetensors")
    again = load_supernet(tiny(), tmp_path / "parts.safetensors")
    assert isinstance(again, Partition)
    assert same(again, parts)


@pytest.mark.parametrize("routing", ROUTINGS)
@torch.no_grad()
def test_hidden_units_can_be_ordered(routing):
    space = with_experts(tiny(), ExpertsConfig(routing=routing, start="independent"))
    supernet = fresh(space).eval()
    inputs = space.example(batch=2)
    largest, smallest = (supernet.extract(one)(*inputs) for one in (space.largest(), space.smallest()))
    sort_channels(supernet)
    assert torch.allclose(supernet.extract(space.largest())(*inputs), largest, atol=1e-5)
    assert not torch.allclose(supernet.extract(space.smallest())(*inputs), smallest, atol=1e-5)
    groups = unit_groups(supernet)
    reorder(supernet, {group.name: torch.arange(group.size).flip(0) for group in groups})
    assert len(groups) == 3
    assert torch.allclose(supernet.extract(space.largest())(*inputs), largest, atol=1e-5)


def test_a_copy_runs_by_itself():
    supernet = fresh(with_experts(tiny(), ExpertsConfig())).eval()
    copy, inputs = deepcopy(supernet), supernet.space.example(batch=2)
    supernet.activate(supernet.space.smallest())
    assert same(copy, supernet)
    assert torch.equal(copy(*inputs), supernet.extract(supernet.space.largest())(*inputs))


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("parts", [False, True], ids=["whole", "split"])
def test_a_network_that_is_trained_further_has_no_experts(routing, parts):
    space = with_experts(tiny(), ExpertsConfig(routing=routing, start="independent"))
    torch.manual_seed(0)
    supernet = Partition(space, divided(WHOLE, 0, "embed", [[8], [16]])) if parts else Supernet(space)
    with torch.no_grad():
        for weight in supernet.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    inputs = space.example(batch=2)
    for architecture in drawn(space, 2):
        alone = folded(supernet.eval(), architecture)
        assert experts_of(alone.space) is None
        assert not any(isinstance(module, BlendedFeedForward) for module in alone.modules())
        expected = supernet.extract(architecture)(*inputs)
        assert torch.allclose(alone(*inputs), expected, atol=1e-6)
        assert torch.equal(alone(*inputs), alone.extract(architecture)(*inputs))
        supernet.activate(space.largest())
        folded(supernet, architecture)
        assert supernet.active == space.largest()
    assert same(folded(fresh(tiny()), architecture), fresh(tiny()))


def test_a_space_with_experts_can_be_sent_to_another_process():
    space = with_experts(tiny(), ExpertsConfig(experts=3))
    sent = pickle.loads(pickle.dumps(space))
    assert experts_of(sent) == ExpertsConfig(experts=3)
    assert same(fresh(sent), fresh(space))
    assert experts_of(space.restrict({"embed": [8]})) == experts_of(space)
    assert same(fresh(with_experts(with_experts(tiny(), ExpertsConfig()), ExpertsConfig(experts=3))), fresh(space))


def test_spaces_without_feed_forward_layers_are_refused():
    space = with_experts(small_mobilenet_v3(image_size=8), ExpertsConfig())
    with pytest.raises(FieldError, match="networks of small_mobilenet_v3 have no feed-forward layers"):
        space.build()
    assert with_experts(space, None) is space


@pytest.mark.parametrize(
    ("field", "value"),
    [("experts", 0), ("experts", 100), ("hidden", 0), ("noise", -1.0), ("routing", "token"), ("start", "zero")],
)
def test_settings_have_limits(field, value):
    with pytest.raises(FieldError) as error:
        ExpertsConfig(**{field: value})
    assert error.value.field == field


def test_added_weights_are_told():
    network = fresh(with_experts(tiny(), ExpertsConfig(experts=3, hidden=4))).network
    plain = sum(weight.numel() for weight in fresh(tiny()).parameters())
    whole = sum(weight.numel() for weight in network.parameters())
    told = f"{whole:,} weights, {plain:,} without further experts and routers"
    assert experts_told(network) == f"3 feed-forward layers of 3 experts; {told}"
    assert json.loads(ExpertsConfig().structure())["experts"] == 2
