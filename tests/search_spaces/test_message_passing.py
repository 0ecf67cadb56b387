"""Message passing against naive loops over nodes."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from search_spaces.attributed_graph import dense_graph, made_up_graph
from search_spaces.message_passing import Neighbours, NodeFeatures, projected

PATH = dense_graph(np.ones((3, 1)), np.array([[0, 1], [1, 2]]))


def random_graph(seed: int = 0, nodes: int = 9, features: int = 5):
    generator = np.random.default_rng(seed)
    table = generator.normal(size=(nodes, features)) * (generator.random((nodes, features)) < 0.5)
    return dense_graph(table, generator.integers(0, nodes, (14, 2)))


def arriving(neighbours: Neighbours) -> list[list[int]]:
    """Messages of each node, by their places."""
    return [np.flatnonzero(neighbours.target.numpy() == node).tolist() for node in range(len(neighbours.share))]


def test_messages_go_both_ways_and_from_each_node_to_itself_once():
    graph = dense_graph(np.ones((4, 1)), np.array([[0, 1], [1, 0], [2, 2], [0, 1], [3, 2]]))
    pairs = list(zip(*(one.tolist() for one in graph.messages)))
    assert sorted(pairs) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3)]
    assert graph.messages[1].tolist() == sorted(graph.messages[1].tolist())
    assert graph.links == 2


def test_sums_means_and_maxima_are_those_of_loops():
    neighbours = Neighbours(random_graph())
    values = torch.randn(len(neighbours.source), 2, 3, generator=torch.Generator().manual_seed(0)) - 2.0
    for reduce, naive in (
        (neighbours.total, lambda rows: rows.sum(0)),
        (neighbours.mean, lambda rows: rows.mean(0)),
        (neighbours.highest, lambda rows: rows.amax(0)),
    ):
        expected = torch.stack([naive(values[places]) for places in arriving(neighbours)])
        assert torch.allclose(reduce(values), expected, atol=1e-6)


def test_a_softmax_adds_up_to_one_at_each_node_for_scores_of_any_size():
    neighbours = Neighbours(random_graph())
    scores = torch.randn(len(neighbours.source), 3, generator=torch.Generator().manual_seed(1)) * 1e4
    weights = neighbours.softmax(scores)
    assert torch.isfinite(weights).all()
    expected = torch.empty_like(scores)
    for places in arriving(neighbours):
        expected[places] = scores[places].softmax(0)
    assert torch.allclose(weights, expected, atol=1e-6)


def test_the_plain_mean_of_a_path():
    neighbours = Neighbours(PATH)
    found = neighbours.mean(neighbours.sent(torch.tensor([1.0, 2.0, 3.0])))
    assert found.tolist() == [1.5, 2.0, 2.5]


def test_a_product_with_features_without_zeros_is_that_of_the_table():
    graph = random_graph(3)
    values, *where = NodeFeatures(graph)()
    table = torch.zeros(graph.nodes, graph.features)
    for node in range(graph.nodes):
        columns, entries = graph.row(node)
        table[node, columns] = torch.from_numpy(entries)
    weight = torch.randn(4, graph.features, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(projected(values.double(), weight, where=tuple(where)), table.double() @ weight.T)

    def function(weight: torch.Tensor) -> torch.Tensor:
        return projected(values.double(), weight, where=tuple(where)).sin()

    assert torch.autograd.gradcheck(function, (weight,))
    assert torch.autograd.gradgradcheck(function, (weight,))


def test_the_graph_is_no_weight_is_not_saved_and_is_shared_by_copies():
    neighbours, features = Neighbours(PATH), NodeFeatures(PATH)
    assert not neighbours.state_dict()
    assert not features.state_dict()
    assert deepcopy(neighbours).graph is PATH


def test_a_made_up_graph_has_the_sizes_asked_for_and_is_always_the_same():
    graph = made_up_graph(50, 30, 80)
    assert (graph.nodes, graph.features, graph.links) == (50, 30, 80)
    assert graph.fingerprint == made_up_graph(50, 30, 80).fingerprint
    assert graph.fingerprint != made_up_graph(50, 30, 79).fingerprint


@pytest.mark.parametrize("reduce", ["total", "highest"])
def test_results_are_the_same_every_time(reduce):
    neighbours = Neighbours(random_graph())
    values = torch.randn(len(neighbours.source), 4, requires_grad=True)
    runs = []
    for _ in range(2):
        out = getattr(neighbours, reduce)(values)
        (gradient,) = torch.autograd.grad(out.square().sum(), values)
        runs.append((out, gradient))
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])
