"""NAS-Bench-101 against the published table, hashes and counts."""

import csv
import gzip
import itertools

import numpy as np
import pytest
import torch

from nas.searchers import NSGA2, Random
from search_spaces import InvalidArchitecture
from search_spaces.families.nasbench101 import nasbench101, to_cell, to_values
from search_spaces.families.nasbench101_cell import OPERATIONS, Cell, count_cells, parse, to_strings, vertex_widths
from search_spaces.networks.nasbench101_network import CellNetwork
from tests.search_spaces.counting import counted_costs

# edges, operations, hash, params: the example of the published README, input-output only, the best cell of the table
FIXTURES = [
    (
        "0-1 0-2 0-3 0-5 1-6 2-6 3-4 4-6 5-6",
        "conv1x1|conv3x3|conv3x3|conv3x3|maxpool3x3",
        "28cfc7874f6d200472e1a9dcd8650aa0",
        2_694_282,
    ),
    ("0-1", "", "043721b9c7fe8c5fad811d47d83132ec", 882_570),
    (
        "0-1 0-2 0-5 0-6 1-3 2-5 3-4 4-5 5-6",
        "conv3x3|conv1x1|maxpool3x3|conv3x3|conv3x3",
        "02e5a0247bbdcf2860b7e96f74961594",
        32_426_634,
    ),
]


@pytest.fixture(scope="module")
def rows(shared_data):
    with gzip.open(shared_data / "nasbench101" / "nb101_sample_10000.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("edges", "operations", "fingerprint", "params"), FIXTURES)
def test_published_cells_have_their_hash_and_params(edges, operations, fingerprint, params):
    space = nasbench101()
    architecture = space.read_row({"edges": edges, "ops": operations})
    assert parse(edges, operations).hash() == to_cell(architecture).hash() == fingerprint
    assert space.costs([architecture])["params"].tolist() == [params]


def test_number_of_cells_by_vertices_is_the_published_one():
    counts = [count_cells(vertices) for vertices in range(2, 8)]
    assert counts == [1, 6, 84, 2_441, 62_010, 359_082]
    assert sum(counts) == nasbench101().count() == 423_624


def test_number_of_small_cells_is_that_of_distinct_hashes_and_of_canonical_forms():
    """Every graph of up to five vertices with every labelling, whether pruned or not."""
    hashes, forms = {}, set()
    for vertices in range(2, 6):
        places = list(itertools.combinations(range(vertices), 2))
        for chosen in itertools.product((False, True), repeat=len(places)):
            edges = frozenset(itertools.compress(places, chosen))
            if not all(any(v == t for _, t in edges) for v in range(1, vertices)):
                continue  # vertices that are pruned: such cells are among the smaller ones
            for operations in itertools.product(OPERATIONS, repeat=vertices - 2):
                try:
                    form = Cell(edges, operations).canonical()
                except InvalidArchitecture:
                    continue
                assert hashes.setdefault(form.hash(), form) == form
                forms.add(form)
    assert len(hashes) == len(forms) == 1 + 6 + 84 + 2_441


def test_all_rows_of_the_table_agree(rows):
    space = nasbench101()
    cells = [parse(row["edges"], row["ops"]) for row in rows]
    assert len(rows) == 10_000
    assert [to_strings(cell) for cell in cells] == [(row["edges"], row["ops"]) for row in rows]
    assert [cell.hash() for cell in cells] == [row["hash"] for row in rows]
    architectures = [space.read_row(row) for row in rows]
    assert len(set(architectures)) == 10_000
    assert space.costs(architectures)["params"].tolist() == [int(row["params"]) for row in rows]


def relabelled(cell: Cell, generator: np.random.Generator) -> Cell:
    """An isomorphic cell whose vertices stand in another order that its edges allow."""
    left, order = list(range(1, cell.vertices - 1)), [0]
    while left:
        ready = [v for v in left if not any(t == v and s in left for s, t in cell.edges)]
        order.append(ready[generator.integers(len(ready))])
        left.remove(order[-1])
    place = {vertex: i for i, vertex in enumerate([*order, cell.vertices - 1])}
    edges = frozenset((place[s], place[t]) for s, t in cell.edges)
    return Cell(edges, tuple(cell.operations[vertex - 1] for vertex in order[1:]))


def test_isomorphic_cells_are_one_architecture_with_one_hash():
    space = nasbench101()
    generator = np.random.default_rng(0)
    moved = 0
    for _ in range(500):
        architecture = space.sample(generator)
        cell = to_cell(architecture)
        other = relabelled(cell, generator)
        moved += other != cell
        assert other.hash() == cell.hash()
        assert space.architecture(to_values(other)) == architecture
    assert moved > 50


def test_strings_round_trip():
    space = nasbench101()
    for encoding in space.sample_encodings(2000, np.random.default_rng(1)):
        architecture = space.decode(encoding)
        edges, operations = to_strings(to_cell(architecture))
        assert space.read_row({"edges": edges, "ops": operations}) == architecture


@pytest.mark.parametrize("options", [{"width": 14, "cells": 2, "image_size": 9}, {"width": 7, "stacks": 2, "cells": 1}])
def test_analytic_cost_equals_that_of_the_built_network(options):
    space = nasbench101(**options)
    drawn = [space.smallest(), space.largest(), *(space.sample(np.random.default_rng(i)) for i in range(30))]
    drawn += [space.read_row({"edges": edges, "ops": operations}) for edges, operations, *_ in FIXTURES]
    costs = space.costs(drawn)
    counted = [counted_costs(space.subnet(architecture), space.inputs[0].shape) for architecture in drawn]
    assert counted == list(zip(costs["params"].tolist(), costs["macs"].tolist()))


def test_first_vertices_get_the_channels_left_over_and_others_the_most_they_feed():
    cell = parse("0-1 1-2 1-3 1-4 2-5 3-5 4-5", "conv3x3|conv1x1|conv1x1|conv1x1")
    assert vertex_widths(cell, 128) == [43, 43, 43, 42]
    assert vertex_widths(parse("0-1 0-2 1-3 2-3", "conv1x1|conv1x1"), 7) == [4, 3]


def test_cell_computes_what_the_definition_says():
    """Written out for one cell: truncation, projection of the input, concatenation, projection to the output."""
    cell = parse("0-1 0-2 1-2 1-3 0-3 2-3", "conv3x3|maxpool3x3")
    network = CellNetwork(cell, 4, 6).eval()
    x = torch.randn(2, 4, 5, 5)
    one = network.vertex["1"](network.project["1"](x))
    two = network.vertex["2"](one[:, :3] + network.project["2"](x))
    expected = torch.cat([one, two], dim=1) + network.project["output"](x)
    assert network.widths == [4, 3, 3, 6]
    assert torch.allclose(network(x), expected)


def test_a_wide_vertex_is_truncated_for_a_narrow_one():
    cell = parse("0-1 1-2 1-3 2-4 3-4", "conv1x1|conv1x1|maxpool3x3")
    network = CellNetwork(cell, 4, 5).eval()
    x = torch.randn(2, 4, 5, 5)
    one = network.vertex["1"](network.project["1"](x))
    assert network.widths == [4, 3, 3, 2, 5]
    expected = torch.cat([network.vertex["2"](one), network.vertex["3"](one[:, :2])], dim=1)
    assert torch.allclose(network(x), expected)


@pytest.mark.parametrize(
    ("edges", "operations", "message"),
    [
        ("0-1 1-2", "conv5x5", r"operation 'conv5x5' is not one of \('conv3x3', 'conv1x1', 'maxpool3x3'\)"),
        ("0-1 2-1", "conv3x3", "edge 2-1 runs backward or is a loop"),
        ("0-1 1-3", "conv3x3", "edge 1-3 leaves the 3 vertices of the cell"),
        ("0-1 1", "conv3x3", "'1' is not an edge such as 0-1"),
        ("0-1", "conv3x3", "the cell has no path from its input to its output"),
        ("0-1 1-2 2-3 3-4 4-5 5-6 6-7", "|".join(["conv3x3"] * 6), "the cell has 8 vertices, at most 7"),
        ("0-1 0-2 0-3 0-4 0-5 1-5 2-5 3-5 4-5 1-2 2-3", "|".join(["conv3x3"] * 4), "the cell has 11 edges, at most 9"),
    ],
)
def test_bad_cells_are_refused_in_one_line(edges, operations, message):
    with pytest.raises(InvalidArchitecture, match=message) as caught:
        nasbench101().read_row({"edges": edges, "ops": operations})
    assert "\n" not in str(caught.value)


def test_what_is_pruned_does_not_count_as_too_large():
    space = nasbench101()
    operations = "|".join(["conv3x3"] * 6)
    assert space.read_row({"edges": "0-1 1-7 2-7 3-7 4-7", "ops": operations}) == space.read_row(
        {"edges": "0-1 1-2", "ops": "conv3x3-bn-relu"}
    )


def test_a_vertex_of_the_cell_needs_an_operation():
    with pytest.raises(InvalidArchitecture, match="decision 'op2' has no value"):
        nasbench101().architecture({"edge0_1": 1, "edge1_2": 1, "edge2_6": 1, "op1": "conv3x3"})


@pytest.mark.parametrize("searcher", [NSGA2, Random])
def test_searchers_ask_for_members_only(searcher):
    space = nasbench101(width=16)
    made = searcher(space, objectives=2, population=20, seed=0, violation=lambda encodings: np.zeros(len(encodings)))
    seen = set()
    for _ in range(6):
        asked = made.ask()
        costs = space.costs(asked)
        assert all(architecture in space for architecture in asked)
        made.tell(asked, np.stack([costs["macs"], -costs["params"]], axis=1).astype(float), np.zeros(len(asked)))
        seen |= set(asked)
    assert len(seen) > 60


def test_nsga2_moves_offspring_that_are_no_members_near_where_they_were():
    space = nasbench101(width=16)
    made = NSGA2(space, objectives=2, population=20, seed=0, violation=lambda encodings: np.zeros(len(encodings)))
    outside = np.tile(space.choice_counts - 1, (30, 1))  # every edge
    repaired = made.algorithm.repair._do(made.problem, outside.astype(float))
    assert space.valid(repaired).all()
    assert repaired.tolist() == space.canonical(repaired).tolist()
