"""What architectures are made of, as people look at it."""

import json

import numpy as np
import pytest

from search_spaces import Decision, Space
from search_spaces.anatomy import Anatomy, anatomy, decided
from search_spaces.families.mobilenet_v3 import small_mobilenet_v3
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.graph import Graph
from tests.plugin.elastic_mlp import elastic_mlp


def test_blocks_stand_in_order_with_their_choices_and_places_left_empty_are_skipped():
    space = small_mobilenet_v3(stage_widths=(16, 24), strides=(1, 2), depths=(1, 2))
    values = {decision.name: decision.choices[-1] for decision in space.decisions}
    values |= {"stage1.depth": 1, "stage2.block2.kernel": 5}
    pieces = anatomy(space, values).pieces
    assert [piece.place for piece in pieces] == [
        *("", "", "stage1.block1", "stage1.block2", "stage2.block1", "stage2.block2", "")
    ]
    assert [piece.skipped for piece in pieces] == [False, False, False, True, False, False, False]
    assert pieces[5].choices == {"kernel": 5, "expand": 4}
    assert pieces[3].choices == {}
    assert pieces[0].shape == (3, 32, 32)
    assert "k5" in pieces[5].block


@pytest.mark.parametrize("space", [small_mobilenet_v3(depths=(1, 2)), elastic_mlp()], ids=lambda space: space.name)
def test_costs_of_the_pieces_add_up_to_those_of_the_network(space):
    for seed in range(3):
        architecture = space.sample(np.random.default_rng(seed))
        pieces = anatomy(space, architecture).pieces
        total = sum(piece.repeats * piece.costs.get("params", 0) for piece in pieces)
        assert total == space.costs([architecture])["params"][0]


def test_cell_is_a_graph_whose_empty_edges_are_unused():
    space = nasbench201(width=4, cells=1, image_size=16)
    values = {decision.name: "nor_conv_3x3" for decision in space.decisions} | {"edge0_2": "none"}
    (graph,) = anatomy(space, values).graphs
    assert graph.unused == ((0, 2, "none"),)
    assert len(graph.edges) == 5
    assert graph.nodes[0] == "input"


def test_space_without_blocks_shows_its_decisions():
    decisions = (
        Decision("depth", (1, 2)),
        Decision("block1.width", (4, 8)),
        Decision("block2.width", (4, 8), "depth", (2,)),
    )
    space = Space(name="plain", decisions=decisions)
    pieces = anatomy(space, {"depth": 1, "block1.width": 8}).pieces
    assert [(piece.place, dict(piece.choices), piece.skipped) for piece in pieces] == [
        *(("depth", {"depth": 1}, False), ("block1", {"width": 8}, False), ("block2", {}, True))
    ]
    assert decided([decision.name for decision in decisions], {"depth": 1, "block1.width": 8}).pieces == pieces


def test_edges_that_run_backward_are_refused():
    with pytest.raises(ValueError, match="edge 1-0 must lead"):
        Graph(name="cell", nodes=("a", "b"), edges=((1, 0, ""),))


def test_anatomy_survives_json():
    for space in (nasbench201(width=4, cells=1, image_size=16), small_mobilenet_v3()):
        found = anatomy(space, space.largest())
        assert Anatomy.from_json(json.loads(json.dumps(found.to_json()))) == found
