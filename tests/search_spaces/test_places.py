"""Blocks that networks are made of: together they are the network."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from search_spaces import Decision
from search_spaces.families.conv_macro import conv_macro
from search_spaces.families.darts import darts
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3, small_mobilenet_v3
from search_spaces.families.nasbench101 import nasbench101
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench201_cell import EDGES, edge_name
from search_spaces.families.nasbench_macro import nasbench_macro
from search_spaces.families.proxyless import proxyless
from search_spaces.places import Block, Blocks, Place, fixed
from search_spaces.space import Space
from tests.search_spaces.counting import counted_costs

SPACES = {
    "small_mobilenet_v3": lambda: small_mobilenet_v3(image_size=16, stage_widths=(16, 24), strides=(1, 2)),
    "ofa_mobilenet_v3": lambda: ofa_mobilenet_v3(resolutions=(128, 192, 224), classes=10),
    "nasbench201": lambda: nasbench201(width=4, cells=2, image_size=16),
    "nasbench_macro": lambda: nasbench_macro(width=4, head_width=16, image_size=16),
    "proxyless": lambda: proxyless(stage_widths=(8, 12), depths=(2, 3), strides=(2, 1), image_size=16, stem_stride=1),
    "darts": lambda: darts(width=4, cells=4, image_size=16),
    "darts_imagenet": lambda: darts(width=4, cells=3, image_size=64, stem="imagenet"),
    "conv_macro": conv_macro,
}


def drawn(space: Space, n: int = 20) -> np.ndarray:
    ends = [space.encode(space.largest()), space.encode(space.smallest())]
    return np.concatenate([space.sample_encodings(n, np.random.default_rng(0)), ends])


@pytest.mark.parametrize("name", SPACES)
def test_parameters_of_the_blocks_are_those_of_the_network(name):
    space = SPACES[name]()
    with torch.device("meta"):
        params = np.array([[sum(p.numel() for p in b.build().parameters())] for b in space.blocks.distinct], float)
    encodings = drawn(space)
    np.testing.assert_array_equal(space.blocks.totals(params, encodings)[:, 0], space.costs(encodings)["params"])


@pytest.mark.parametrize("name", SPACES)
def test_every_block_states_the_costs_that_run_in_its_module(name):
    for block in SPACES[name]().blocks.distinct:
        assert block.count is not None
        params, macs = counted_costs(block.build(), block.input_shape)
        assert {"params": params, "macs": macs} == {"params": 0, "macs": 0, **block.costs}, block.key


def test_costs_of_a_block_that_states_none_are_counted_in_its_module():
    for block in SPACES["conv_macro"]().blocks.distinct[:5]:
        assert dataclasses.replace(block, count=None).costs == dict(block.costs)


@pytest.mark.parametrize("name", ["small_mobilenet_v3", "nasbench_macro", "proxyless", "conv_macro"])
def test_blocks_of_a_chain_run_one_after_the_other(name):
    space = SPACES[name]()
    for encoding in drawn(space, 3):
        x = torch.randn(2, *space.inputs[0].shape)
        for row, _ in space.blocks.rows(encoding):
            block = space.blocks.distinct[row]
            assert tuple(x.shape[1:]) == block.input_shape
            x = block.build().eval()(x)
        assert x.shape == (2, 1000 if name == "proxyless" else 10)


@pytest.mark.parametrize("name", SPACES)
def test_totals_are_those_of_the_blocks_one_by_one(name):
    space, generator = SPACES[name](), np.random.default_rng(1)
    values = generator.normal(size=(len(space.blocks.distinct), 3))
    encodings = drawn(space, 10)
    naive = [sum(repeats * values[row] for row, repeats in space.blocks.rows(encoding)) for encoding in encodings]
    np.testing.assert_allclose(space.blocks.totals(values, encodings), np.array(naive))
    parts = [space.blocks.totals(values, encodings, unused=unused) for unused in (False, True)]
    np.testing.assert_allclose(parts[0] + parts[1], np.array(naive))


@pytest.mark.parametrize("name", SPACES)
def test_every_distinct_block_is_in_some_network_and_keys_are_distinct(name):
    space = SPACES[name]()
    keys = [block.key for block in space.blocks.distinct]
    assert len(set(keys)) == len(keys)
    encodings = np.concatenate([drawn(space, 3000)] + [
        np.full((1, len(space.decisions)), i) % space.choice_counts for i in range(max(space.choice_counts))
    ])  # fmt: skip
    counts = space.blocks.totals(np.eye(len(keys)), encodings)
    assert (counts.max(axis=0) >= 1).all()


def test_blocks_of_a_part_of_a_space_are_those_it_needs():
    whole = SPACES["small_mobilenet_v3"]()
    part = whole.restrict({"*.kernel": [3]})
    assert {b.key for b in part.blocks.distinct} < {b.key for b in whole.blocks.distinct}
    assert not any(" k5 " in block.key for block in part.blocks.distinct)


def test_what_does_not_reach_the_output_of_a_cell_is_unused():
    """Against a search backwards through the graph of the cell."""
    space = nasbench201(width=4, cells=1, image_size=8)
    for encoding in drawn(space, 200):
        cell = space.decode(encoding)
        reached = {3}
        for node in (2, 1):
            readers = [t for s, t in EDGES if s == node and cell[edge_name(s, t)] != "none" and t in reached]
            reached |= {node} if readers else set()
        dead = [(s, t) for s, t in EDGES if t not in reached]
        convolutions = sum("nor_conv" in str(cell[edge_name(s, t)]) for s, t in dead)
        is_convolution = np.array([["nor_conv" in block.key] for block in space.blocks.distinct], float)
        unused = space.blocks.totals(is_convolution, encoding[None], unused=True)
        assert unused[0, 0] == 3 * convolutions  # one cell a stage


@pytest.mark.parametrize(
    ("cell", "pools"),
    [
        ({"edge0_1": "avg_pool_3x3", "edge0_3": "avg_pool_3x3"}, 0),  # node 1 reaches nothing
        ({"edge0_1": "avg_pool_3x3", "edge1_3": "skip_connect", "edge0_3": "avg_pool_3x3"}, 1),
        ({"edge0_2": "avg_pool_3x3", "edge2_3": "avg_pool_3x3", "edge0_3": "nor_conv_1x1"}, 0),
        ({"edge0_1": "skip_connect", "edge1_3": "avg_pool_3x3", "edge0_3": "avg_pool_3x3"}, 1),
    ],
)
def test_a_node_that_is_pooled_twice_may_be_pooled_once(cell, pools):
    space = nasbench201(width=4, cells=1, image_size=8)
    choices = {edge_name(*edge): "none" for edge in EDGES} | cell
    encoding = space.encode(space.architecture(choices))
    is_pool = np.array([[block.key.startswith("avg_pool")] for block in space.blocks.distinct], float)
    dead = cell.get("edge0_1") == "avg_pool_3x3" and "edge1_3" not in cell
    unused = space.blocks.totals(is_pool, encoding[None], unused=True)
    assert unused[0, 0] == 3 * (pools + dead)


def test_inactive_decisions_do_not_matter():
    space = SPACES["small_mobilenet_v3"]()
    raw = np.random.default_rng(0).integers(0, space.choice_counts, size=(50, len(space.decisions)))
    values = np.random.default_rng(1).normal(size=(len(space.blocks.distinct), 2))
    np.testing.assert_array_equal(space.blocks.totals(values, raw), space.blocks.totals(values, space.canonical(raw)))


def test_repeats_and_absent_blocks_are_counted():
    a, b = (Block(name, (1, 2, 2), torch.nn.Identity) for name in "ab")
    places = [fixed(a, 2), Place(("x",), lambda x: b if x == "on" else None, 3)]
    blocks = Blocks([Decision("x", ("off", "on"))], places)
    assert [block.name for block in blocks.distinct] == ["a", "b"]
    assert blocks.totals(np.array([[1.0], [10.0]]), np.array([[0], [1]]))[:, 0].tolist() == [2, 32]
    assert blocks.rows(np.array([1])) == [(0, 2), (1, 3)]
    assert Counter(dict(blocks.rows(np.array([0])))) == Counter({0: 2})


def test_a_space_without_places_says_so():
    with pytest.raises(TypeError, match="'nasbench101' does not say what blocks"):
        _ = nasbench101().blocks
