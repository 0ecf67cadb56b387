"""What every space of the catalogue promises."""

import json
import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch

from nas.scoring import counted_proxies, counted_scores
from proxies import Batch, score
from proxies.size import Macs, Params
from search_spaces import Architecture, Space
from search_spaces.anatomy import Anatomy, anatomy
from search_spaces.costs import UNITS
from search_spaces.elastic import Elastic, governed
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.joined_parts import Part
from service import catalogue
from supernets import Supernet, sort_channels
from tests.search_spaces.counting import counted_costs, counted_messages, counted_products
from tests.search_spaces.vectors import vector_space
from tests.supernets.helpers import scrambled

OPTIONS = {
    "ofa_mobilenet_v3": {"resolutions": (96,), "classes": 10},
    "nasbench201": {"width": 8, "cells": 1, "image_size": 16},
    "darts": {"width": 8, "cells": 4, "image_size": 16},
    "nasbench101": {"width": 16, "cells": 1, "image_size": 16},
    "nasbench_macro": {"width": 8, "head_width": 32, "image_size": 16},
    "pooling": {"image_size": 16},
    "hr_multibranch": {"stages": (((1,), (8,)), ((1, 1), (6, 9))), "stem_widths": (8,), "image_size": 16},
    "timm": {"model": "test_resnet", "classes": 10, "resolutions": (16, 32)},
    "split": {
        "image_size": 16,
        "model_options": {
            **{"stage_widths": (16, 24), "strides": (2, 2), "depths": (1,), "kernels": (3,), "expands": (2,)},
            "squeeze_excite": (False, False),
        },
        **{"bottlenecks": (2, 6), "encoder_width": 8},
    },
    "autoformer": {"image_size": 32, "classes": 10},
    "small_autoformer": {"image_size": 16},
    "hat": {"source_vocabulary": 10, "target_vocabulary": 10, "length": 4, "longest": 8},
    "small_hat": {"source_vocabulary": 10, "target_vocabulary": 10, "length": 5, "longest": 8},
    "language": {"vocabulary": 10, "length": 6, "longest": 8},
    "bert": {"vocabulary": 10, "length": 4, "longest": 8},
    "small_bert": {"vocabulary": 10, "length": 5, "longest": 8},
    "gnn": {"nodes": 30, "features": 20, "links": 50, "heads": (1, 2), "widths": (2, 4, 6), "classes": 10},
    "joined": {
        "parts": {"net": Part(name="net", space=nasbench_macro(width=8, head_width=32, image_size=16), times=2)}
    },
    "nasbench_graph": {"nodes": 30, "features": 20, "links": 50, "width": 4, "classes": 10},
    "proxyless": {"stage_widths": (24, 32), "depths": (2, 3), "strides": (2, 2), "head_width": 32, "image_size": 32},
}
CLASSES = {"proxyless": 1000, "vectors": 1}
LENGTHS = {"hat": 4, "small_hat": 5, "language": 6, "bert": 4, "small_bert": 5}
"""Spaces whose networks give scores of tokens at every place."""
TRANSFORMERS = ["autoformer", "small_autoformer", *LENGTHS]
"""Spaces whose networks have sequences instead of feature maps, and products beside those of layers."""
GRAPHS = {"gnn", "nasbench_graph"}
"""Spaces whose networks run on all nodes of a graph for any number of them; products of messages are no layers."""
WITHOUT_RELUS = {"nasbench_graph", "autoformer", "small_autoformer", "language", "bert", "small_bert"}
IN_PLACE = {"ofa_mobilenet_v3", "small_mobilenet_v3", "timm", "split"}
"""Spaces whose networks have ReLUs that work in place, which hooks of proxies allow for."""
JOINED = {"joined"}
"""Spaces whose networks are several side by side, which nobody has published tables of."""
READ_OFF = {"timm", "split"}
"""Spaces read off a network: nobody has published tables of them, and their networks are graphs without blocks."""
VECTORS = "vectors"
"""A space of the tests: no picture comes into it."""
CHOICE_SUPERNETS = ["nasbench201", "darts", "nasbench_macro", "proxyless"]
SUPERNETS = [
    "timm",
    "split",
    "ofa_mobilenet_v3",
    "small_mobilenet_v3",
    "conv_macro",
    "pooling",
    "hr_multibranch",
    "joined",
    *CHOICE_SUPERNETS,
    *TRANSFORMERS,
    "gnn",
]


def counted(space: Space, network: torch.nn.Module) -> tuple[int, int]:
    """Parameters and multiply-accumulates of a network on the largest input, counted from what runs."""
    if space.name in TRANSFORMERS:
        return counted_products(network, space.example())
    if space.name in GRAPHS:
        return counted_messages(network, space.example())
    return counted_costs(network, space.inputs[0].shape)


def output_shape(space: Space, batch: int) -> tuple[int, ...]:
    places = [LENGTHS[space.name]] if space.name in LENGTHS else [2] if space.name in JOINED else []
    return (batch, *places, CLASSES.get(space.name, 10))


def made(name: str) -> Space:
    if name == VECTORS:
        return vector_space()
    return catalogue.resolve("space", name)(**OPTIONS.get(name, {}))


@pytest.fixture(params=[*catalogue.SPACES, VECTORS], scope="module")
def space(request):
    return made(request.param)


@pytest.fixture(params=[name for name in catalogue.SPACES if name not in READ_OFF | JOINED], scope="module")
def space_of_blocks(request):
    return made(request.param)


@pytest.fixture(params=[*SUPERNETS, VECTORS], scope="module")
def elastic_space(request):
    return made(request.param)


@pytest.fixture(params=CHOICE_SUPERNETS, scope="module")
def choice_space(request):
    return made(request.param)


FOLDED = {"nasbench101", "nasbench_graph", "pooling", *JOINED}
"""Spaces whose choices have no cost of their own."""


def test_spaces_that_are_folded_are_known(space):
    assert (space.fold is not None) == (space.name in FOLDED)


@pytest.mark.parametrize("name", [name for name in (*catalogue.SPACES, VECTORS) if name not in FOLDED])
def test_choices_are_listed_cheapest_first(name):
    """One step up in any decision never makes an architecture cheaper."""
    space = made(name)
    base = space.encode(space.largest())
    for column, choices in enumerate(space.choice_counts):
        rows = np.repeat(base[None], choices, axis=0)
        rows[:, column] = np.arange(choices)
        costs = space.costs(rows)
        assert (np.diff(costs["macs"]) >= 0).all(), space.decisions[column].name
        assert (np.diff(costs["params"]) >= 0).all(), space.decisions[column].name


def test_nothing_drawn_is_outside_the_extremes(space):
    costs = space.costs(space.sample_encodings(500, np.random.default_rng(0)))
    ends = space.costs([space.smallest(), space.largest()])
    for name, column in costs.items():
        if name in space.unordered:
            assert column.min() > 0
            continue
        if name not in UNITS:  # such as what is sent, which falls where a network does more by itself
            continue
        assert ends[name][0] <= column.min() <= column.max() <= ends[name][1], name


def test_what_architectures_are_made_of_can_be_looked_at_and_kept(space):
    for architecture in (space.smallest(), space.largest(), space.sample(np.random.default_rng(3))):
        found = anatomy(space, architecture)
        assert found.pieces or found.graphs
        assert Anatomy.from_json(json.loads(json.dumps(found.to_json()))) == found
        if found.pieces and "params" in space.cost_names:
            counted = sum(piece.repeats * piece.costs.get("params", 0) for piece in found.pieces)
            assert counted == space.costs([architecture])["params"][0]


def test_costs_are_columns_by_name_with_units(space):
    costs = space.costs(space.sample_encodings(7, np.random.default_rng(0)))
    assert tuple(costs) == space.cost_names
    assert costs.units.keys() == costs.keys()
    assert all(costs.units.values())
    for name, column in costs.items():
        assert (column.shape, column.dtype) == ((7,), np.int64), name


def test_scores_that_a_space_counts_are_those_of_its_networks(space):
    proxies = {"params": Params(), "macs": Macs()}
    generator = np.random.default_rng(4)
    architectures = [space.smallest(), space.largest(), *(space.sample(generator) for _ in range(2))]
    counted = counted_scores(counted_proxies(proxies, space), space, architectures)
    assert counted.keys() == proxies.keys()
    for place, architecture in enumerate(architectures):
        batch = Batch(space.example(architecture, 8), lambda output, rows: output[rows].flatten(1).sum(1))
        network = space.subnet(architecture)
        found = {name: one.value for name, one in score(network, batch, proxies, copy=False).items()}
        if space.name in TRANSFORMERS:  # proxies count layers with weights alone
            _, every = counted_products(network, space.example())
            assert 0 < found["macs"] < every
            found["macs"] = every
        if space.name in GRAPHS:  # proxies count for each example what runs once for all of them
            found["macs"] = counted_messages(network, space.example())[1]
        assert found == {name: counted[name][place] for name in proxies}


def test_examples_have_the_shapes_and_types_that_networks_take(space):
    for architecture in (space.largest(), space.smallest(), space.sample(np.random.default_rng(3))):
        example = space.example(architecture, batch=2)
        assert len(example) == len(space.inputs)
        for tensor, stated in zip(example, space.inputs):
            assert tuple(tensor.shape) == (2, *stated.shape_for(architecture))
            assert tensor.dtype == getattr(torch, stated.dtype)
            assert torch.isfinite(tensor).all()
        outputs = space.subnet(architecture).eval()(*example)
        assert len(outputs) == 2
        assert all(torch.equal(*pair) for pair in zip(example, space.example(architecture, batch=2)))
    largest = [tuple(tensor.shape) for tensor in space.example()]
    assert largest == [(1, *stated.shape) for stated in space.inputs]


def test_an_example_draws_nothing_from_the_global_generator(space):
    before = torch.get_rng_state()
    space.example()
    assert torch.equal(torch.get_rng_state(), before)


def test_encodings_round_trip(space):
    drawn = space.sample_encodings(200, np.random.default_rng(0))
    assert space.valid(drawn).all()
    assert space.canonical(drawn).tolist() == drawn.tolist()
    for encoding in drawn:
        architecture = space.decode(encoding)
        assert space.architecture(architecture) == architecture
        assert architecture in space
        assert space.encode(architecture).tolist() == encoding.tolist()


def test_no_encodings_are_whole_numbers_as_well(space):
    none = np.empty((0, len(space.decisions)), dtype=np.int64)
    assert (space.canonical(none).dtype, space.active(none).dtype, space.valid(none).dtype) == (np.int64, bool, bool)
    assert space.canonical(none).shape == none.shape


def test_mutants_are_other_members(space):
    generator = np.random.default_rng(0)
    for _ in range(50):
        architecture = space.sample(generator)
        mutant = space.mutate(architecture, generator, rate=0.01)
        assert mutant in space
        assert mutant != architecture


def test_a_space_can_be_sent_to_another_process(space):
    drawn = space.sample_encodings(5, np.random.default_rng(0))
    space.subnet(space.decode(drawn[0]))
    sent = pickle.loads(pickle.dumps(space))
    assert sent.costs(drawn)["macs"].tolist() == space.costs(drawn)["macs"].tolist()
    assert [sent.decode(row) for row in drawn] == [space.decode(row) for row in drawn]


def test_rows_of_tables_round_trip_as_json(space):
    for seed in range(20):
        architecture = space.sample(np.random.default_rng(seed))
        assert space.read_row({"architecture": json.dumps(architecture.to_json())}) == architecture


def test_a_row_without_an_architecture_says_which_columns_are_needed(space):
    needed = "architecture" if space.name in READ_OFF | JOINED else ".+ or architecture"
    with pytest.raises(ValueError, match=rf"needs the columns {needed}; there are x, y"):
        space.read_row({"x": "1", "y": "2"})
    assert bool(space.formats) == (space.name not in READ_OFF | JOINED)


def test_costs_do_not_depend_on_inactive_genes(space):
    generator = np.random.default_rng(0)
    raw = generator.integers(0, space.choice_counts, (200, len(space.decisions)))
    raw = raw[space.valid(raw)]
    folded = space.canonical(raw)
    assert len(raw) > 0
    assert (raw != folded).any() or all(d.parent is None for d in space.decisions)
    assert space.costs(raw)["macs"].tolist() == space.costs(folded)["macs"].tolist()
    assert space.costs(raw)["params"].tolist() == space.costs(folded)["params"].tolist()


def test_costs_of_many_equal_costs_of_each(space):
    drawn = [space.sample(np.random.default_rng(i)) for i in range(20)]
    together = space.costs(drawn)
    assert together["macs"].tolist() == [int(space.costs([a])["macs"][0]) for a in drawn]
    assert together["params"].tolist() == [int(space.costs([a])["params"][0]) for a in drawn]


def test_subnet_is_plain_initialised_and_has_the_stated_cost(space):
    drawn = [space.smallest(), space.sample(np.random.default_rng(1)), space.largest()]
    costs = space.costs(drawn)
    for i, architecture in enumerate(drawn):
        subnet = space.subnet(architecture)
        assert counted(space, subnet) == (costs["params"][i], costs["macs"][i])
        assert subnet.training
        assert subnet(*space.example(batch=2)).shape == output_shape(space, 2)
        for name, tensor in [*subnet.named_parameters(), *subnet.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            assert tensor.isfinite().all(), name
            assert tensor.abs().max() < 2, name


def test_blocks_are_modules_of_the_subnet_that_give_feature_maps_in_turn(space_of_blocks):
    space = space_of_blocks
    subnet = space.subnet(space.sample(np.random.default_rng(2)))
    order: list[int] = []
    dimensions = 3 if space.name in TRANSFORMERS else 2 if space.name in GRAPHS else 4
    for i, block in enumerate(subnet.blocks()):
        block.register_forward_hook(lambda m, inputs, output, i=i: order.append(i if output.ndim == dimensions else -1))
    subnet(*space.example(batch=2))
    assert len(order) >= (2 if space.name in GRAPHS else 3)
    assert order == list(range(len(order)))
    assert {id(block) for block in subnet.blocks()} <= {id(module) for module in subnet.modules()}


def test_relus_are_modules_of_their_own(space):
    """Proxies hook them: one that works in place or twice would hide what passes through."""
    subnet = space.subnet(space.largest())
    calls: dict[int, int] = {}
    for module in subnet.modules():
        if isinstance(module, torch.nn.ReLU | torch.nn.ReLU6):
            assert module.inplace == (space.name in IN_PLACE)
            module.register_forward_hook(lambda m, i, o: calls.__setitem__(id(m), calls.get(id(m), 0) + 1))
    subnet(*space.example(batch=2))
    assert bool(calls) == (space.name not in WITHOUT_RELUS)
    assert set(calls.values()) <= {1}


def test_every_space_with_an_elastic_network_is_tested_as_a_supernet():
    for name in catalogue.SPACES:
        try:
            made(name).build()
        except TypeError:
            assert name not in SUPERNETS
        else:
            assert name in SUPERNETS


def test_extracted_subnet_equals_active_supernet_and_has_the_stated_cost(elastic_space):
    space = elastic_space
    supernet = scrambled(Supernet(space)).eval()
    inputs = space.example(batch=2)
    for architecture in [space.smallest(), space.sample(np.random.default_rng(7)), space.largest()]:
        subnet = supernet.extract(architecture)
        with torch.no_grad():
            assert (subnet(*inputs) - supernet(*inputs)).abs().max() <= 1e-5
            assert subnet(*inputs).shape == output_shape(space, 2)
        costs = space.costs([architecture])
        assert counted(space, subnet) == tuple(int(costs[name][0]) for name in ("params", "macs"))


def test_memory_format_does_not_change_the_function(elastic_space):
    supernet = scrambled(Supernet(elastic_space)).eval()
    inputs = elastic_space.example(batch=4)
    plain = supernet(*inputs)
    inputs = tuple(x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in inputs)
    last = supernet.to(memory_format=torch.channels_last)(*inputs)
    assert torch.allclose(plain, last, atol=1e-4)


# ---- supernets whose decisions choose between operations ------------------------------------------------------------


def drawn(space: Space, n: int = 3) -> list[Architecture]:
    return [space.smallest(), *(space.sample(np.random.default_rng(seed)) for seed in range(n)), space.largest()]


def test_weights_of_an_extracted_subnet_load_into_the_network_of_its_architecture(choice_space):
    supernet = scrambled(Supernet(choice_space)).eval()
    x = torch.randn(2, *choice_space.inputs[0].shape)
    for architecture in drawn(choice_space):
        extracted = supernet.extract(architecture)
        alone = choice_space.subnet(architecture).eval()
        assert list(alone.state_dict()) == list(extracted.state_dict())
        assert not any(isinstance(module, Elastic) for module in extracted.modules())
        alone.load_state_dict(extracted.state_dict())
        assert torch.equal(alone(x), extracted(x))


def leading_nowhere(space: Space, architecture: Architecture) -> int:
    """Parameters of operations whose output is never read, which only NAS-Bench-201 has."""
    if space.name != "nasbench201":
        return 0
    read = {3: True}
    for node in (2, 1):
        read[node] = any(architecture[f"edge{node}_{to}"] != "none" and read[to] for to in range(node + 1, 4))
    dead = {name: "none" for name in architecture if not read[int(name[-1])]}
    costs = space.costs([architecture, Architecture({**architecture, **dead})])["params"]
    return int(costs[0] - costs[1])


def test_some_operations_of_nasbench201_lead_nowhere():
    space = made("nasbench201")
    assert any(leading_nowhere(space, architecture) for architecture in drawn(space, 8))
    assert any(not leading_nowhere(space, architecture) for architecture in drawn(space, 8))


def test_only_active_operations_have_gradients(choice_space):
    supernet = Supernet(choice_space).train()
    x = torch.randn(4, *choice_space.inputs[0].shape)
    for architecture in drawn(choice_space, 8):
        supernet.zero_grad(set_to_none=True)
        supernet.activate(architecture)
        supernet(x).square().sum().backward()
        reached = [p for p in supernet.parameters() if p.grad is not None]
        count = choice_space.costs([architecture])["params"][0]
        assert sum(p.numel() for p in reached) == count - leading_nowhere(choice_space, architecture)


def test_governed_modules_are_all_that_differs_between_architectures(choice_space):
    supernet = Supernet(choice_space)
    pairs = list(governed(supernet))
    known = {(d.name, choice) for d in choice_space.decisions for choice in d.choices}
    assert {(decision, choice) for decision, choice, _ in pairs} <= known
    modules = {id(module) for module in supernet.modules()}
    assert all(id(module) in modules for _, _, module in pairs)
    somewhere = {id(p) for _, _, module in pairs for p in module.parameters()}
    everywhere = {id(p) for p in supernet.parameters()} - somewhere
    for architecture in drawn(choice_space):
        supernet.zero_grad(set_to_none=True)
        supernet.activate(architecture)
        supernet(torch.randn(2, *choice_space.inputs[0].shape)).square().sum().backward()
        reached = {id(p) for p in supernet.parameters() if p.grad is not None}
        chosen = [module for decision, choice, module in pairs if architecture[decision] == choice]
        assert everywhere <= reached <= everywhere | {id(p) for module in chosen for p in module.parameters()}


def test_activation_and_extraction_draw_no_random_numbers(choice_space):
    supernet = Supernet(choice_space)
    before = torch.get_rng_state()
    supernet.extract(choice_space.smallest())
    assert torch.equal(torch.get_rng_state(), before)


def test_copies_are_independent(choice_space):
    supernet = scrambled(Supernet(choice_space)).eval()
    x = torch.randn(2, *choice_space.inputs[0].shape)
    first, second = drawn(choice_space, 2)[1:3]
    supernet.activate(first)
    expected = supernet(x)
    copied = deepcopy(supernet)
    assert torch.equal(copied(x), expected)
    copied.activate(second)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(supernet(x), expected)
    assert copied.active == second
    assert not copied(x).any()


def test_saved_supernets_are_loaded_again(choice_space, tmp_path):
    supernet = scrambled(Supernet(choice_space)).eval()
    supernet.save(tmp_path / "s.safetensors")
    other = Supernet(choice_space).eval()
    other.load(tmp_path / "s.safetensors")
    x = torch.randn(2, *choice_space.inputs[0].shape)
    for architecture in drawn(choice_space, 2):
        supernet.activate(architecture)
        other.activate(architecture)
        assert torch.equal(other(x), supernet(x))


def test_one_hot_mixtures_equal_the_architecture(choice_space):
    supernet = scrambled(Supernet(choice_space)).eval()
    x = torch.randn(2, *choice_space.inputs[0].shape)
    for architecture in drawn(choice_space):
        supernet.activate(architecture)
        expected = supernet(x)
        values = {d: {choice: 1.0} if not d.endswith("inputs") else choice for d, choice in architecture.items()}
        supernet.relax(choice_space.relaxation(values))
        assert torch.allclose(supernet(x), expected, atol=1e-6)
        supernet.activate(architecture)
        assert torch.equal(supernet(x), expected)


def test_a_mixture_cannot_be_extracted(choice_space):
    supernet = Supernet(choice_space)
    name, choices = next((d.name, d.choices) for d in choice_space.decisions if not d.name.endswith("inputs"))
    supernet.relax(choice_space.relaxation(dict(choice_space.largest()) | {name: {choices[-1]: 0.5}}))
    with pytest.raises(ValueError, match="mixture of choices: activate an architecture before extracting it"):
        supernet.extract()


def test_mixtures_pass_gradients_to_every_weight_of_a_choice(choice_space):
    supernet = Supernet(choice_space).train()
    weights = {
        d.name: {choice: torch.tensor(1 / len(d.choices), requires_grad=True) for choice in d.choices}
        for d in choice_space.decisions
        if not d.name.endswith("inputs")
    }
    supernet.relax(choice_space.relaxation(dict(choice_space.largest()) | weights))
    supernet(torch.randn(2, *choice_space.inputs[0].shape)).square().sum().backward()
    for decision, of_choices in weights.items():
        reached = [choice for choice, weight in of_choices.items() if weight.grad is not None]
        assert reached == [choice for choice in of_choices if choice != "none"], decision


def test_there_are_no_channels_to_sort(choice_space):
    supernet = scrambled(Supernet(choice_space)).eval()
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    sort_channels(supernet)
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
