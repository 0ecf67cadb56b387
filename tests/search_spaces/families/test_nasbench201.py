"""NAS-Bench-201 against the published table and figures."""

import csv
import gzip
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import InvalidArchitecture, LeftOut
from search_spaces.elastic import ElasticBatchNorm2d, governed
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import (
    canonical_key,
    parse,
    parse_cell,
    skip_key,
    to_cell,
    to_string,
    unique_key,
)
from search_spaces.networks.cell_modules import ReLUConvNorm
from search_spaces.networks.nasbench201_network import Cell, chosen_cell
from supernets import PathAdaptive, Supernet, Uniform, split
from tests.search_spaces.counting import counted_costs


@pytest.fixture(scope="module")
def every():
    """All 15,625 architectures."""
    space = nasbench201()
    return [space.decode(encoding) for encoding in itertools.product(range(5), repeat=6)]


@pytest.fixture(scope="module")
def rows(shared_data):
    with gzip.open(shared_data / "nasbench201" / "nb201_cifar10.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def test_both_strings_of_every_architecture_round_trip(every):
    space = nasbench201()
    assert len(set(every)) == space.count() == 15_625
    for architecture in every:
        assert space.architecture(parse(to_string(architecture))) == architecture
        assert space.architecture(parse_cell(to_cell(architecture))) == architecture


def test_canonical_keys_have_the_published_counts(every):
    assert len({unique_key(a) for a in every}) == 6_466
    assert len({skip_key(a) for a in every}) == 12_751
    assert len({canonical_key(a) for a in every}) == 5_390
    assert sum(canonical_key(a) == "#" for a in every) == 341  # no path from input to output


def test_all_rows_of_the_table_agree(rows):
    space = nasbench201()
    architectures = [space.read_row(row) for row in rows]
    assert len(rows) == 10_000
    assert [to_string(a) for a in architectures] == [row["arch_str"] for row in rows]
    assert [to_cell(a) for a in architectures] == [row["cell"] for row in rows]
    assert space.costs(architectures)["params"].tolist() == [int(row["params_c10"]) for row in rows]
    assert space.read_row({"cell": rows[0]["cell"]}) == architectures[0]


def test_unique_key_groups_the_table_as_published(rows):
    classes = {(unique_key(parse(row["arch_str"])), row["iso_idx"]) for row in rows}
    assert len(classes) == len({key for key, _ in classes}) == len({index for _, index in classes})


def test_costs_equal_the_published_ones():
    """Published MACs count the additions of the 10 biases of the classifier; elsewhere nobody counts those."""
    space = nasbench201()
    costs = space.costs([space.largest(), space.smallest()])
    assert costs["params"].tolist() == [1_531_546, 73_306]
    assert (costs["macs"] + 10).tolist() == [220_119_690, 7_783_050]
    assert space.costs([space.architecture(parse_cell("x222222"))])["params"][0] == 73_306 + 6 * 28_000
    assert nasbench201(classes=100).costs([space.smallest()])["params"][0] == 73_306 - 650 + 6_500


@pytest.mark.parametrize("options", [{}, {"width": 6, "cells": 2, "image_size": 12, "channels": 1, "classes": 7}])
def test_analytic_cost_equals_that_of_the_built_network(options):
    space = nasbench201(**options)
    drawn = [space.smallest(), space.largest(), *(space.sample(np.random.default_rng(i)) for i in range(8))]
    costs = space.costs(drawn)
    counted = [counted_costs(space.subnet(architecture), space.inputs[0].shape) for architecture in drawn]
    assert counted == list(zip(costs["params"].tolist(), costs["macs"].tolist()))


def shared_by_operation(cell: Cell) -> Cell:
    """Equal operations of the cell get equal weights."""
    for module in cell.modules():
        if isinstance(module, torch.nn.Conv2d):
            generator = torch.Generator().manual_seed(module.kernel_size[0])
            module.weight.data.normal_(0, 0.3, generator=generator)
    return cell.train()


def test_equal_canonical_keys_are_equal_outputs_under_shared_weights(every):
    x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    groups: dict[str, list] = {}
    for architecture in every:
        groups.setdefault(canonical_key(architecture), []).append(architecture)
    largest = sorted(groups.values(), key=len)[-60:]
    outputs = []
    for group in largest:
        members = [shared_by_operation(chosen_cell(a, 3).double())(x) for a in group[:4]]
        assert all(torch.allclose(member, members[0], atol=1e-9) for member in members), group[:4]
        outputs.append(members[0])
    assert len({tuple(o.detach().round(decimals=6).flatten().tolist()) for o in outputs}) == len(outputs)


def test_convolutions_of_an_edge_have_the_same_name_in_every_architecture():
    space = nasbench201(width=4, cells=1, image_size=8)
    full = space.subnet(space.largest()).state_dict()
    for seed in range(10):
        subnet = space.subnet(space.sample(np.random.default_rng(seed)))
        assert set(subnet.state_dict()) <= set(full)


def test_what_precedes_a_cell_without_a_path_still_has_gradients():
    space = nasbench201(width=4, cells=1, image_size=8)
    subnet = space.subnet(space.architecture(parse_cell("x333000")))
    subnet(torch.randn(2, 3, 8, 8)).sum().backward()
    without = {name for name, parameter in subnet.named_parameters() if parameter.grad is None}
    assert {name.split(".")[2] for name in without} == {"edge0_1", "edge0_2", "edge1_2"}
    assert subnet.stem[0].weight.grad.eq(0).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("|none~0|+|none~0|none~1|", "must have 3 nodes separated by '\\+', got 2"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|conv~2|", "operation 'conv' is not one of"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~3|", "node 3, term 'none~3' must come from 2"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|", "node 3 must be 3 terms"),
        ("none~0+|none~0|none~1|+|none~0|none~1|none~2|", "node 1 must be 1 terms"),
        ("", "must have 3 nodes"),
    ],
)
def test_bad_strings_are_refused_in_one_line(text, message):
    with pytest.raises(InvalidArchitecture, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("digits", ["x33333", "x333335", "3333333", "y333333", ""])
def test_bad_cell_codes_are_refused(digits):
    with pytest.raises(InvalidArchitecture, match="must be six digits from 0 to 4"):
        parse_cell(digits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 30}, "image_size must be a multiple of 4 pixels, got 30"),
        ({"cells": 0}, "cells must be at least 1, got 0"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        nasbench201(**options)


# ---- connected cells ------------------------------------------------------------------------------------------------


def released_check(a: dict) -> bool:
    """Second implementation: the rule of the released random search, by the numbers of edges."""
    live = [a[edge] != "none" for edge in ("edge0_1", "edge0_2", "edge1_2", "edge0_3", "edge1_3", "edge2_3")]
    return live[3] or (live[1] and live[5]) or (live[0] and live[4]) or (live[0] and live[2] and live[5])


def test_connected_cells_are_those_with_a_path(every):
    space = nasbench201(connected=True)
    inside = [a for a in every if a in space]
    assert len(inside) == space.count() == 15_625 - 341
    assert set(inside) == {a for a in every if released_check(a)} == {a for a in every if canonical_key(a) != "#"}
    assert space.largest() == nasbench201().largest()
    assert space.smallest() in inside
    assert space.costs([space.smallest()])["params"][0] == 73_306
    with pytest.raises(LeftOut, match=r"has no path from input to output, and the space has connected cells only"):
        space.architecture(nasbench201().smallest())
    with pytest.raises(InvalidArchitecture, match="decision 'edge2_3' has no value"):
        space.architecture({name: value for name, value in space.largest().items() if name != "edge2_3"})


def test_no_disconnected_cell_is_trained_mutated_or_split_off():
    space = nasbench201(width=4, cells=1, image_size=8, connected=True)
    generator = np.random.default_rng(0)
    for sampler in (Uniform(space=space), PathAdaptive(space=space)):
        assert all(released_check(a) for _ in range(300) for a in sampler.draw(generator))
    mutant = space.smallest()
    for _ in range(100):
        mutant = space.mutate(mutant, generator)
        assert released_check(mutant)
    parts = split(space, "edge0_3", [("none", "skip_connect"), ("avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3")])
    drawn = [part.sample(generator) for part in parts for _ in range(100)]
    assert all(map(released_check, drawn))
    assert "none" in {a["edge0_3"] for a in drawn}


# ---- the supernet ---------------------------------------------------------------------------------------------------


def with_other_statistics(network: nn.Module) -> nn.Module:
    """Norms have seen something, so that leaving one out would show."""
    for module in network.modules():
        if isinstance(module, ElasticBatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network


def released_supernet(width: int, cells: int, channels: int, classes: int) -> nn.Module:
    """Second implementation: the layers of the released PA&DA supernet, written one after the other, not connected."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
    for stage in range(3):
        now = width * 2**stage
        if stage:
            layers += [nn.Conv2d(now // 2, now, 3, 2, 1), nn.Conv2d(now, now, 3, 1, 1)]
            layers.append(nn.Conv2d(now // 2, now, 1, bias=False))
        layers += [nn.Conv2d(now, now, kernel) for kernel in (1, 3) for _ in range(cells * 6)]
    return nn.ModuleList([*layers, nn.Linear(4 * width, classes)])


def shapes(network: nn.Module) -> list[tuple[int, ...]]:
    return sorted(tuple(parameter.shape) for parameter in network.parameters())


@pytest.mark.parametrize("numbers", [(16, 5, 3, 10), (4, 1, 1, 7)])
def test_the_supernet_without_affine_norms_has_the_parameters_of_the_released_one(numbers):
    width, cells, channels, classes = numbers
    options = {"width": width, "cells": cells, "channels": channels, "classes": classes, "image_size": 8}
    ours = nasbench201(**options, shared_affine=False).build()
    assert shapes(ours) == shapes(released_supernet(*numbers))
    edges = sum(6 * cells * (10 * c**2 + 2 * c) for c in (width, 2 * width, 4 * width))
    blocks = sum(9 * c * c // 2 + c + 9 * c * c + c + c * c // 2 for c in (2 * width, 4 * width))
    total = 9 * channels * width + edges + blocks + 4 * width * classes + classes
    assert sum(p.numel() for p in ours.parameters()) == total
    if numbers == (16, 5, 3, 10):
        assert total == 1_692_474
    assert sum(p.numel() for p in nasbench201(**options).build().parameters()) > total


def test_norms_of_the_published_supernet_have_no_weights_and_its_convolutions_have_biases():
    space = nasbench201(width=4, cells=1, image_size=8, shared_affine=False)
    supernet = with_other_statistics(Supernet(space)).eval()
    x = torch.randn(2, *space.inputs[0].shape)
    operations = [m for m in supernet.modules() if isinstance(m, ReLUConvNorm)]
    assert len(operations) == 3 * 6 * 2 + 2 * 2  # cells, edges, kernel sizes; residual blocks
    assert all(o.norm.weight is None and o.norm.bias is None and o.conv.bias is not None for o in operations)
    assert not [m for m in supernet.modules() if isinstance(m, ElasticBatchNorm2d) and m.weight is not None]
    for seed in range(5):
        subnet = supernet.extract(space.sample(np.random.default_rng(seed)))
        with torch.no_grad():
            assert (subnet(x) - supernet(x)).abs().max() <= 1e-5
    plain = supernet.extract(space.largest())
    assert {m.affine for m in plain.modules() if isinstance(m, nn.BatchNorm2d)} == {False}
    without = {n for n, m in plain.named_modules() if isinstance(m, nn.Conv2d) and m.bias is None}
    assert without == {"stem.0", "cells.1.shortcut.1", "cells.3.shortcut.1"}


def test_every_cell_follows_the_same_decisions_with_weights_of_its_own():
    space = nasbench201(width=4, cells=2, image_size=8)
    convolutions = [m for d, choice, m in governed(space.build()) if (d, choice) == ("edge1_3", "nor_conv_3x3")]
    assert len({id(m) for m in convolutions}) == 3 * 2
    assert not [m for d, choice, m in governed(space.build()) if choice == "none"]


def test_a_cell_of_nothing_gives_zeros_in_the_supernet_too():
    space = nasbench201(width=4, cells=1, image_size=8)
    supernet = Supernet(space)
    supernet.activate(space.architecture({decision.name: "none" for decision in space.decisions}))
    cell = next(m for m in supernet.modules() if isinstance(m, Cell))
    assert not cell(torch.randn(1, 4, 8, 8)).any()
