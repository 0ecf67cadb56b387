"""DARTS and its relatives: genotypes, published costs, networks."""

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import InvalidArchitecture
from search_spaces.elastic import ElasticBatchNorm2d, governed
from search_spaces.families.cell_operations import OPERATION_SETS, OPERATIONS
from search_spaces.families.darts import darts
from search_spaces.families.darts_cells import PRIMITIVES, from_genotype, to_genotype
from search_spaces.families.genotype import Genotype, parse_genotype
from search_spaces.families.genotype_skeleton import Skeleton, genotype_costs
from search_spaces.networks.cell_modules import FactorisedReduce, ReLUConvNorm, operation_module
from search_spaces.networks.genotype_network import GenotypeNetwork
from supernets import Supernet
from tests.search_spaces.counting import counted_costs

IMAGENET = {"width": 48, "cells": 14, "image_size": 224, "classes": 1000, "stem": "imagenet"}
SMALL = Skeleton(width=8, cells=4, image_size=16, channels=3, classes=10, stem="cifar")

V1 = (
    "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=range(2, 6))"
)
V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)


@pytest.mark.parametrize(
    ("options", "genotype", "params", "macs"),
    [
        ({}, V2, 3_349_342, 528_359_040),
        ({}, V1, 3_169_414, 500_987_520),
        (IMAGENET, V2, 4_718_752, 529_911_552),
    ],
)
def test_costs_of_published_cells_are_the_published_ones(options, genotype, params, macs):
    space = darts(**options)
    costs = space.costs([space.read_row({"genotype": genotype})])
    assert (costs["params"].tolist(), costs["macs"].tolist()) == ([params], [macs])


@pytest.mark.parametrize(
    ("skeleton", "params"),
    [
        (Skeleton(width=36, cells=20, image_size=32, channels=3, classes=10, stem="cifar"), 476_426),
        (Skeleton(**IMAGENET, channels=3), 1_260_776),
    ],
)
def test_auxiliary_heads_have_the_published_params(skeleton, params):
    with torch.device("meta"):
        head = GenotypeNetwork(skeleton, parse_genotype(V2), auxiliary=True).auxiliary_head
    assert sum(p.numel() for p in head.parameters()) == params


def test_count_is_the_published_one():
    assert darts().count() == (180 * 7**8) ** 2 == 1_076_746_950_455_072_400


# ---- genotypes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [V1, V2])
def test_genotypes_keep_their_order_and_are_printed_as_published(text):
    genotype = parse_genotype(text)
    printed = str(genotype)
    assert printed == text.replace("[2, 3, 4, 5]", "range(2, 6)")
    assert parse_genotype(printed) == genotype


def test_canonical_genotypes_forget_the_order_only():
    genotype = parse_genotype(V1)
    canonical = genotype.canonical()
    assert canonical != genotype
    assert canonical.canonical() == canonical == to_genotype(from_genotype(genotype))
    assert [sorted(canonical.normal[i : i + 2]) for i in (0, 2, 4, 6)] == [
        sorted(genotype.normal[i : i + 2]) for i in (0, 2, 4, 6)
    ]
    assert from_genotype(genotype) == from_genotype(canonical)


def test_genotypes_of_architectures_round_trip():
    space = darts()
    for encoding in space.sample_encodings(2000, np.random.default_rng(0)):
        architecture = space.decode(encoding)
        assert space.read_row({"genotype": str(to_genotype(architecture))}) == architecture


def test_positional_fields_and_lists_of_json_are_read_too():
    genotype = parse_genotype(V2)
    positional = f"Genotype({list(genotype.normal)}, range(2, 6), {list(genotype.reduce)}, [2, 3, 4, 5])"
    lists = {"normal": [list(p) for p in genotype.normal], "reduce": [list(p) for p in genotype.reduce]}
    assert parse_genotype(positional) == genotype
    assert Genotype(**lists, normal_concat=[2, 3, 4, 5], reduce_concat=[2, 3, 4, 5]) == genotype


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("'sep_conv_3x3', 0", "'sep_conv_9x9', 0"), "normal: operation 'sep_conv_9x9' is not one of none, skip"),
        (("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "normal: node 5 reads state 5, allowed are 0 to 4"),
        (("('sep_conv_3x3', 0)", "('sep_conv_3x3', -1)"), "node 2 reads state -1, allowed are 0 to 1"),
        (("reduce_concat=[2, 3, 4, 5]", "reduce_concat=[2, 3, 6]"), r"reduce_concat \[2, 3, 6\] must be distinct"),
        (("normal_concat=[2, 3, 4, 5]", "normal_concat=range(10**9)"), r"normal_concat = .* must be a list or a range"),
        (("normal_concat=[2, 3, 4, 5]", "normal_concat=range(2, 999999999)"), "normal_concat .* must be distinct"),
        (("('dil_conv_3x3', 2)]", "]"), "a cell has two pairs for each node, got 7 pairs"),
        (("Genotype(", "print("), r"must be Genotype\("),
        (("('dil_conv_3x3', 2)]", "open('x')]"), "must be a list or a range"),
        ((", reduce_concat=[2, 3, 4, 5]", ""), "must give normal, normal_concat, reduce, reduce_concat once each"),
        (("normal_concat=", "normal="), "once each|cannot be read"),
        ((")", ""), "cannot be read"),
    ],
)
def test_bad_genotypes_are_refused_in_one_line(change, message):
    with pytest.raises(InvalidArchitecture, match=message) as caught:
        parse_genotype(V2.replace(*change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("('sep_conv_3x3', 0), ('sep_conv_3x3', 1)", "('sep_conv_3x3', 0), ('sep_conv_3x3', 0)"),
            "reads state 0 twice",
        ),
        (
            ("normal_concat=[2, 3, 4, 5]", "normal_concat=[4, 5]"),
            r"the space has nodes \(2, 3, 4, 5\), all in the output",
        ),
        (("dil_conv_3x3", "conv_1x1"), "normal.node5.op2 = 'conv_1x1' is not one of"),
    ],
)
def test_genotypes_outside_the_space_are_refused(change, message):
    with pytest.raises(InvalidArchitecture, match=message):
        darts().read_row({"genotype": V2.replace(*change)})


# ---- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"width": 6, "cells": 5, "image_size": 13},
        {"width": 8, "cells": 3, "image_size": 70, "stem": "imagenet", "channels": 1, "classes": 4},
    ],
)
def test_analytic_cost_equals_that_of_the_built_network(options):
    space = darts(**options)
    drawn = [space.smallest(), space.largest(), *(space.sample(np.random.default_rng(i)) for i in range(8))]
    costs = space.costs(drawn)
    counted = [counted_costs(space.subnet(architecture), space.inputs[0].shape) for architecture in drawn]
    assert counted == list(zip(costs["params"].tolist(), costs["macs"].tolist()))


def random_genotype(family: str, nodes: int, seed: int) -> Genotype:
    """A cell with repeated inputs and only the loose ends in its output, as relatives of DARTS have."""
    generator = np.random.default_rng(seed)
    operations = OPERATION_SETS[family]
    cells = []
    for _ in range(2):
        states = [int(generator.integers(2 + i // 2)) for i in range(2 * nodes)]
        loose = [state for state in range(2, 2 + nodes) if state not in states]
        cells += [[(operations[generator.integers(len(operations))], state) for state in states], loose]
    return Genotype(*cells)


@pytest.mark.parametrize(("family", "nodes"), [("darts", 4), ("nasnet", 5), ("enas", 5), ("amoebanet", 5), ("pnas", 5)])
@pytest.mark.parametrize("seed", range(3))
def test_networks_of_all_families_run_and_have_the_stated_cost(family, nodes, seed):
    skeleton = Skeleton(width=6, cells=4, image_size=15, channels=3, classes=10, stem="cifar")
    genotype = random_genotype(family, nodes, seed)
    network = GenotypeNetwork(skeleton, genotype)
    costs = genotype_costs(skeleton, genotype)
    assert counted_costs(network, (3, 15, 15)) == (costs["params"][0], costs["macs"][0])
    network(torch.randn(2, 3, 15, 15)).sum().backward()


def test_operation_sets_have_the_published_sizes():
    assert {family: len(names) for family, names in OPERATION_SETS.items()} == {
        "darts": 8,
        "nasnet": 13,
        "enas": 5,
        "amoebanet": 8,
        "pnas": 8,
    }
    assert {name for names in OPERATION_SETS.values() for name in names} == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [8, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_operations_have_the_right_shape_and_the_stated_cost(name, size, stride):
    operation = OPERATIONS[name]
    module = operation_module(operation, 5, stride)
    after = (size + stride - 1) // stride
    assert module(torch.randn(2, 5, size, size)).shape == (2, 5, after, after)
    count = operation.count(5, size, stride)
    assert counted_costs(module, (5, size, size)) == (count["params"], count["macs"])


def test_second_half_of_a_factorised_reduction_sees_the_image_moved_by_one_pixel():
    reduce = FactorisedReduce(3, 4).eval()
    reduce.norm = nn.Identity()
    x = torch.rand(1, 3, 6, 6)
    expected = torch.cat(
        [
            torch.einsum("oi,bihw->bohw", reduce.conv1.weight[:, :, 0, 0], x[:, :, ::2, ::2]),
            torch.einsum("oi,bihw->bohw", reduce.conv2.weight[:, :, 0, 0], x[:, :, 1::2, 1::2]),
        ],
        dim=1,
    )
    assert torch.allclose(reduce(x), expected, atol=1e-6)


def test_average_pooling_leaves_out_the_padding():
    pooled = operation_module(OPERATIONS["avg_pool_3x3"], 1, 1)(torch.ones(1, 1, 4, 4))
    assert torch.allclose(pooled, torch.ones(1, 1, 4, 4))


def test_order_of_the_pairs_does_not_change_the_function_nor_the_names():
    genotype = parse_genotype(V1)
    a, b = GenotypeNetwork(SMALL, genotype).eval(), GenotypeNetwork(SMALL, genotype.canonical()).eval()
    assert list(a.state_dict()) != list(b.state_dict())
    b.load_state_dict(a.state_dict())
    x = torch.randn(2, 3, 16, 16)
    assert torch.allclose(a(x), b(x), atol=1e-6)


def test_weights_stand_in_the_order_of_published_checkpoints():
    """First cell of DARTS_V1: preprocessing, then the operations as the genotype lists them."""
    network = GenotypeNetwork(SMALL, parse_genotype(V1))
    edges = list(dict.fromkeys(name.split(".")[2] for name in network.state_dict() if name.startswith("cells.0.")))
    assert edges == ["preprocess0", "preprocess1", "edge1_2", "edge0_2", "edge1_3", "edge1_4", "edge0_5"]
    assert list(dict(network.named_children())) == ["stems", "cells", "classifier"]


def test_cells_after_a_reduction_halve_the_older_input():
    cells = GenotypeNetwork(SMALL, parse_genotype(V2)).cells
    assert [type(cell.preprocess0) for cell in cells] == [
        ReLUConvNorm,
        ReLUConvNorm,
        FactorisedReduce,
        FactorisedReduce,
    ]


def test_auxiliary_head_answers_in_training_only():
    skeleton = Skeleton(width=4, cells=3, image_size=32, channels=3, classes=10, stem="cifar")
    network = GenotypeNetwork(skeleton, parse_genotype(V2), auxiliary=True)
    x = torch.randn(2, 3, 32, 32)
    logits, auxiliary = network(x)
    assert logits.shape == auxiliary.shape == (2, 10)
    assert network.eval()(x).shape == (2, 10)


def test_drop_path_drops_in_training_only_and_keeps_the_mean():
    torch.manual_seed(0)
    network = GenotypeNetwork(SMALL, parse_genotype(V2), drop_path=0.5)
    cell, x = network.cells[0], torch.randn(1, 8, 4, 4).expand(4000, -1, -1, -1)
    dropped = cell.train()._run("edge0_2", x, network.drop_path)
    whole = cell._run("edge0_2", x, 0.0)
    zero = dropped.flatten(1).eq(0).all(dim=1)
    assert 0.45 < zero.float().mean() < 0.55
    assert torch.allclose(dropped[~zero], 2 * whole[~zero], atol=1e-4)
    assert torch.equal(cell._run("edge0_4", x, 0.5), x)  # plain skips are never dropped
    cell.eval()
    assert torch.equal(cell._run("edge0_2", x, 0.5), cell._run("edge0_2", x, 0.0))
    with pytest.raises(ValueError, match="drop_path must be from 0 to below 1, got 1"):
        darts(drop_path=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "svhn"}, r"stem must be one of \('cifar', 'imagenet'\), got 'svhn'"),
        ({"width": 1}, "width must be at least 2, got 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        darts(**options)


# ---- the supernet ---------------------------------------------------------------------------------------------------

TINY = {"width": 4, "cells": 3, "image_size": 8}


def supernet_with_statistics(space):
    supernet = Supernet(space).eval()
    generator = torch.Generator().manual_seed(0)
    for module in supernet.modules():
        if isinstance(module, ElasticBatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return supernet


def test_an_edge_has_the_same_weights_whichever_input_of_its_node_it_is():
    space = darts(**TINY)
    supernet = Supernet(space)
    base = dict(space.largest())
    as_second = base | {"normal.node3.inputs": "0-1", "normal.node3.op2": "dil_conv_3x3"}
    as_first = base | {"normal.node3.inputs": "1-2", "normal.node3.op1": "dil_conv_3x3"}
    cells = []
    for values in (as_second, as_first):
        supernet.activate(space.architecture(values))
        cells.append(supernet.extract().cells[0].edge1_3.state_dict())
    assert all(torch.equal(tensor, cells[1][name]) for name, tensor in cells[0].items())
    named = {(d, c, id(m)) for d, c, m in governed(supernet.network.cells[0])}
    edge = supernet.network.cells[0].edges["edge1_3"]
    for decision in ("normal.node3.op1", "normal.node3.op2"):
        assert (decision, "dil_conv_3x3", id(edge["dil_conv_3x3"])) in named


def test_governed_modules_are_those_of_every_edge_that_an_input_may_use():
    cell = Supernet(darts(**TINY)).network.cells[0]
    found: dict[str, set[tuple[str, str]]] = {}
    names = {id(m): name for name, edge in cell.edges.items() for m in (edge, *edge.values())}
    for decision, choice, module in governed(cell):
        found.setdefault(decision, set()).add((choice, names[id(module)]))
    assert found["normal.node4.op1"] == {(o, f"edge{state}_4") for o in PRIMITIVES for state in (0, 1, 2)}
    assert found["normal.node4.op2"] == {(o, f"edge{state}_4") for o in PRIMITIVES for state in (1, 2, 3)}
    assert ("1-3", "edge1_4") in found["normal.node4.inputs"]
    assert len(found["normal.node4.inputs"]) == 2 * 6
    assert len(found) == 3 * 4


def test_cells_follow_the_decisions_of_their_own_kind():
    space = darts(**TINY)
    supernet = Supernet(space)
    assert [cell.name for cell in supernet.network.cells] == ["normal", "reduce", "reduce"]
    values = dict(space.largest()) | {"reduce.node2.op1": "skip_connect", "normal.node2.op1": "avg_pool_3x3"}
    cells = supernet.extract(space.architecture(values)).cells
    assert [type(cell.edge0_2) for cell in cells] == [nn.AvgPool2d, FactorisedReduce, FactorisedReduce]


def test_the_published_supernet_has_norms_without_weights_and_one_after_each_pooling():
    space = darts(**TINY, shared_affine=False)
    supernet = supernet_with_statistics(space)
    for cell in supernet.network.cells:
        assert {m.weight is None for m in cell.modules() if isinstance(m, ElasticBatchNorm2d)} == {True}
        assert {m.bias is None for m in cell.modules() if isinstance(m, nn.Conv2d)} == {True}
    pooled = space.architecture(dict(space.largest()) | {"normal.node2.op1": "max_pool_3x3"})
    kinds = [type(module) for module in supernet.extract(pooled).cells[0].edge0_2]
    assert kinds == [nn.MaxPool2d, nn.BatchNorm2d]
    x = torch.randn(2, *space.inputs[0].shape)
    for seed in range(5):
        subnet = supernet.extract(space.sample(np.random.default_rng(seed)))
        with torch.no_grad():
            assert (subnet(x) - supernet(x)).abs().max() <= 1e-5


def test_a_mixture_of_operations_is_their_weighted_sum():
    """Logits are linear in the last node of the last cell, and one cell is the last one."""
    space = darts(width=4, cells=1, image_size=8)
    supernet = supernet_with_statistics(space)
    kind = supernet.network.cells[0].name
    base = dict(space.sample(np.random.default_rng(1)))
    x, alone = torch.randn(2, *space.inputs[0].shape), {}
    for operation in ("skip_connect", "sep_conv_5x5"):
        supernet.activate(space.architecture(base | {f"{kind}.node5.op2": operation}))
        alone[operation] = supernet(x)
    supernet.relax(space.relaxation(base | {f"{kind}.node5.op2": {"skip_connect": 0.25, "sep_conv_5x5": 0.75}}))
    expected = 0.25 * alone["skip_connect"] + 0.75 * alone["sep_conv_5x5"]
    assert torch.allclose(supernet(x), expected, atol=1e-5)


def test_inputs_of_a_node_cannot_be_mixed():
    space = darts(**TINY)
    mixture = space.relaxation(dict(space.largest()) | {"normal.node3.inputs": {"0-1": 0.5, "1-2": 0.5}})
    with pytest.raises(TypeError, match=r"normal.node3.inputs says what a node reads: .*'0-1', '1-2'.* cannot be"):
        Supernet(space).relax(mixture)


def test_drop_path_acts_on_the_supernet_in_training_only():
    space = darts(**TINY, drop_path=0.5)
    supernet = supernet_with_statistics(space)
    x = torch.randn(8, *space.inputs[0].shape)
    with torch.no_grad():
        assert torch.equal(supernet(x), supernet(x))
        assert not torch.equal(supernet.train()(x), supernet(x))
    assert supernet.extract().drop_path == 0.5
