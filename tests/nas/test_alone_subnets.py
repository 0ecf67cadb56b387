"""Candidates that are trained for themselves: what they begin with, and that each is trained once."""

import numpy as np
import pytest
import torch

from nas.alone_subnets import AloneSubnets
from nas.data import DataConfig, TensorData
from nas.data.graphs.graph_source import GraphSource
from search_spaces.attributed_graph import dense_graph
from search_spaces.families.gnn import gnn
from supernets import TrainConfig
from supernets.tasks.nodes import Nodes

CONFIG = TrainConfig(epochs=5, batch_size=64, optimizer="adam", lr=0.05, warmup_fraction=0.0, label_smoothing=0.0)


def ring(nodes: int = 24) -> GraphSource:
    """A ring of three classes, which stand in a row each; features say little."""
    generator, classes = np.random.default_rng(0), np.arange(nodes) * 3 // nodes
    features = generator.normal(size=(nodes, 6)) + 2.0 * np.eye(6)[classes]
    edges = np.stack([np.arange(nodes), (np.arange(nodes) + 1) % nodes], axis=1)
    every = np.arange(nodes)
    return GraphSource(
        config=DataConfig(source="planetoid"),
        name="ring",
        graph=dense_graph(features, edges),
        labels=classes,
        classes=("a", "b", "c"),
        parts={"train": every[::2], "validation": every[1::4], "test": every[3::4]},
    )


@pytest.fixture(scope="module")
def source():
    return ring()


def space_of(source: GraphSource):
    return gnn(graph=source.graph, classes=3, heads=(1, 2), widths=(2, 4), dropout=0.0)


def subnets(source, folder, **options) -> AloneSubnets:
    data = source.load(torch.device("cpu"))
    return AloneSubnets(space_of(source), lambda: data.train, CONFIG, Nodes(3), folder=folder, **options)


def state(network) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in network.state_dict().values()])


GAT = "gat|sum|relu|2|4|gcn|sum|linear|1|3"


def test_a_network_is_trained_once_and_found_again(source, tmp_path):
    space = space_of(source)
    architecture, other = (space.read_row({"tokens": one}) for one in (GAT, GAT.replace("relu", "elu")))
    first = subnets(source, tmp_path)
    trained = first(architecture)
    assert first(architecture) is trained
    assert not trained.training
    first(other)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = subnets(source, tmp_path)
    assert torch.equal(state(again(architecture)), state(trained))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


def test_training_starts_fresh_and_is_the_same_in_any_order(source, tmp_path):
    space = space_of(source)
    one, two = (space.read_row({"tokens": text}) for text in (GAT, GAT.replace("|1|3", "|2|3")))
    forward, backward = subnets(source, tmp_path / "a"), subnets(source, tmp_path / "b")
    found = [state(forward(architecture)) for architecture in (one, two)]
    others = [state(backward(architecture)) for architecture in (two, one)]
    assert all(torch.equal(*pair) for pair in zip(found, reversed(others)))


def test_sharing_hands_on_layers_of_the_same_shapes_attention_and_activation(source, tmp_path):
    space = space_of(source)
    keys = space.alone.sharing
    base, same_first, other = (
        keys(space.read_row({"tokens": one}))
        for one in (GAT, GAT.replace("gcn|sum|linear", "cos|max|elu"), GAT.replace("relu", "elu"))
    )
    assert base["layers.0"] == same_first["layers.0"] != other["layers.0"]
    assert base["layers.1"] == other["layers.1"] != same_first["layers.1"]
    first, second = (space.read_row({"tokens": one}) for one in (GAT, GAT.replace("|1|3", "|2|3")))
    alone, shared = subnets(source, tmp_path / "a"), subnets(source, tmp_path / "b", shares=True)
    assert torch.equal(state(alone(first)), state(shared(first)))  # there was nothing to share
    assert not torch.equal(state(alone(second)), state(shared(second)))


def test_a_candidate_may_begin_with_given_weights(source, tmp_path):
    space = space_of(source)
    architecture = space.read_row({"tokens": GAT})
    given = space.subnet(architecture)
    with torch.no_grad():
        for parameter in given.parameters():
            parameter.fill_(0.25)
    fresh = subnets(source, tmp_path / "a")(architecture)
    begun = subnets(source, tmp_path / "b", begin=lambda _: given)(architecture)
    assert not torch.equal(state(fresh), state(begun))
    assert given.layers[0].project.weight.eq(0.25).all()


def test_candidates_learn(source, tmp_path):
    config = TrainConfig(epochs=60, batch_size=64, optimizer="adam", lr=0.05, warmup_fraction=0.0, label_smoothing=0.0)
    data, task = source.load(torch.device("cpu")), Nodes(3)
    space = space_of(source)
    network = AloneSubnets(space, lambda: data.train, config, task, folder=tmp_path)(space.read_row({"tokens": GAT}))
    assert isinstance(data.test, TensorData)
    assert task.evaluate(network, data.test.sequential(64)).value > 60
