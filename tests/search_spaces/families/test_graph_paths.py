"""Numbers of paths against an enumeration of them."""

import numpy as np
import pytest

from search_spaces.families.graph_paths import Paths
from search_spaces.families.nasbench101 import nasbench101
from search_spaces.families.nasbench201 import nasbench201
from search_spaces.families.nasbench_graph import nasbench_graph

EDGES = [(source, target) for target in range(5) for source in range(target)]


def paths_from(vertex: int, present: np.ndarray) -> list[list[int]]:
    """All lists of edges that lead from a vertex to the last."""
    if vertex == 4:
        return [[]]
    steps = [i for i, (source, _) in enumerate(EDGES) if source == vertex and present[i]]
    return [[i, *rest] for i in steps for rest in paths_from(EDGES[i][1], present)]


def test_paths_are_those_of_an_enumeration():
    generator = np.random.default_rng(0)
    present, lengths = generator.random((200, len(EDGES))) < 0.4, generator.random((200, len(EDGES)))
    paths = Paths(EDGES, present)
    for i, row in enumerate(present):
        found = paths_from(0, row)
        sums = [sum(lengths[i, edge] for edge in path) for path in found] or [0.0]
        assert paths.count()[i] == len(found)
        assert paths.longest(lengths)[i] == pytest.approx(max(sums))
        assert paths.shortest(lengths)[i] == pytest.approx(min(sums))
        assert set(np.flatnonzero(paths.live()[i])) == {edge for path in found for edge in path}


@pytest.mark.parametrize("make", [nasbench101, nasbench201, nasbench_graph])
def test_traits_are_finite_differ_and_survive_a_part_of_the_space(make):
    space = make()
    encodings = space.sample_encodings(60, np.random.default_rng(0))
    traits = space.traits_of(encodings)
    assert np.isfinite(traits).all()
    assert (traits.std(axis=0) > 0).sum() >= 5
    part = space.restrict({space.decisions[-1].name: space.decisions[-1].choices[1:]})
    inside = [a for a in map(space.decode, encodings) if a in part]
    again = part.traits_of(np.stack([part.encode(a) for a in inside]))
    assert np.array_equal(again, space.traits_of(np.stack([space.encode(a) for a in inside])))


def test_operations_off_every_path_do_not_count():
    space = nasbench201()
    dead = {"edge0_1": "nor_conv_3x3", "edge0_2": "none", "edge1_2": "none", "edge0_3": "skip_connect"}
    architecture = space.architecture(dead | {"edge1_3": "none", "edge2_3": "nor_conv_1x1"})
    skips, pools, ones, threes, *_ = space.traits_of(space.encode(architecture)[None])[0]
    assert (skips, pools, ones, threes) == (1, 0, 0, 0)
