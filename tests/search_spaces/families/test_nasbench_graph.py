"""NAS-Bench-Graph against its published table."""

import csv
import gzip
import pickle

import numpy as np
import pytest
import torch

from nas.data import DataConfig
from nas.data.sources.planetoid import open_planetoid
from search_spaces import InvalidArchitecture
from search_spaces.attributed_graph import dense_graph
from search_spaces.families.nasbench_graph import nasbench_graph, to_string
from search_spaces.message_passing import Neighbours, NodeFeatures
from search_spaces.networks.nasbench_graph_network import CONVOLUTIONS


def read(link: str, ops: str):
    return nasbench_graph().read_row({"link": link, "ops": ops})


def test_every_row_of_the_table_is_a_member_of_its_own_written_as_published(shared_data):
    space = nasbench_graph()
    with gzip.open(shared_data / "nasbench_graph" / "nb_graph_cora_citeseer.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    architectures = [space.read_row(row) for row in rows]
    assert len(set(architectures)) == len(rows) == space.count() == 26_206
    assert [to_string(a) for a in architectures] == [(row["link"], row["ops"]) for row in rows]


@pytest.mark.parametrize(
    ("link", "ops", "same_link", "same_ops"),
    [
        ("x0000", "arma|gcn|gat|gin", "x0000", "gat|gcn|gin|arma"),  # parallel branches have no order
        ("x0123", "gcn|skip|gat|skip", "x0123", "skip|skip|gcn|gat"),  # skips hand on
        ("x0000", "skip|gat|gcn|gin", "x0111", "skip|gat|gcn|gin"),  # the raw input is no output
        ("x0011", "gat|gcn|gin|skip", "x0011", "gat|gcn|gin|skip"),  # what feeds another is an output as well
        ("x0121", "gat|gcn|gin|fc", "x0112", "gat|gcn|fc|gin"),  # another numbering
    ],
)
def test_what_computes_the_same_is_one_member(link, ops, same_link, same_ops):
    assert to_string(read(link, ops)) == (same_link, same_ops)
    assert read(link, ops) == read(same_link, same_ops)


def test_a_skip_beside_what_is_fed_is_not_dropped():
    assert read("x0011", "gat|gcn|gin|skip") != read("x0012", "gat|gcn|gin|skip")


def test_encodings_round_trip_and_mutants_are_other_members():
    space, generator = pickle.loads(pickle.dumps(nasbench_graph())), np.random.default_rng(0)
    for encoding in space.sample_encodings(100, generator):
        architecture = space.decode(encoding)
        assert space.encode(architecture).tolist() == encoding.tolist()
        assert space.architecture(architecture) == architecture
        mutant = space.mutate(architecture, generator)
        assert mutant in space
        assert mutant != architecture


@pytest.mark.parametrize(
    ("link", "ops", "message"),
    [
        ("x0123", "skip|skip|skip|skip", "all four operations are skips"),
        ("x012", "gat|gat|gat|gat", "link must be 4 digits"),
        ("x1000", "gat|gat|gat|gat", "begin with 0"),
        ("x0200", "gat|gat|gat|gat", "input2 = 2 is not one of"),
        ("x0000", "gat|gat|gat|conv", "op4 = 'conv' is not one of"),
    ],
)
def test_rows_that_are_no_architecture_are_refused(link, ops, message):
    with pytest.raises(InvalidArchitecture, match=message):
        read(link, ops)


# ---- networks -------------------------------------------------------------------------------------------------------


def on(shared_data, name: str):
    config = DataConfig(source="planetoid", path=str(shared_data / "planetoid" / f"{name}.npz"))
    source = open_planetoid(config)
    return nasbench_graph(graph=source.graph, classes=len(source.classes))


@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_networks_have_the_published_numbers_of_parameters(shared_data, name):
    space = on(shared_data, name)
    with gzip.open(shared_data / "nasbench_graph" / "nb_graph_cora_citeseer.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))[::40]
    architectures = [space.read_row(row) for row in rows]
    published = np.array([float(row[f"params_{name}"]) for row in rows])
    assert np.allclose(space.costs(architectures)["params"] / 1e6, published, rtol=1e-5)


PATH = dense_graph(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]), np.array([[0, 1], [1, 2]]))
ADJACENT = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_operations_are_those_of_their_papers(name):
    """Each by matrices of nodes by nodes, from the formula of its paper."""
    torch.manual_seed(0)
    x, adjacent, own = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]), ADJACENT, torch.eye(3)
    operation = CONVOLUTIONS[name](2, 4)
    torch.nn.init.uniform_(operation.bias)
    features = x @ operation.linear.weight.T
    looped, degree = adjacent + own, adjacent.sum(1)
    symmetric = adjacent / (degree[:, None] * degree).sqrt()

    def attention() -> torch.Tensor:
        scores = (features @ operation.target)[:, None] + (features @ operation.source)[None]
        scores = torch.nn.functional.leaky_relu(scores, 0.2).masked_fill(looped == 0, -torch.inf)
        return scores.softmax(1) @ features + operation.bias

    def beside(gathered: torch.Tensor) -> torch.Tensor:
        return x @ operation.own.weight.T + gathered @ features + operation.bias

    expected = {
        "gat": attention,
        "gcn": lambda: looped / (looped.sum(1)[:, None] * looped.sum(1)).sqrt() @ features + operation.bias,
        "gin": lambda: looped @ features + operation.bias,
        "cheb": lambda: beside(-symmetric),
        "sage": lambda: beside(adjacent / degree[:, None]),
        "arma": lambda: beside(symmetric).relu(),
        "graph": lambda: beside(adjacent),
        "fc": lambda: features + operation.bias,
    }[name]()
    found = operation(x, Neighbours(PATH))
    assert torch.allclose(found, expected, atol=1e-6)
    values, *where = NodeFeatures(PATH)()
    assert torch.allclose(operation(values, Neighbours(PATH), *where), found, atol=1e-6)


def test_a_node_without_neighbours_is_no_number_that_is_none():
    alone = dense_graph(np.eye(3), np.array([[0, 1]]))
    for make in CONVOLUTIONS.values():
        assert torch.isfinite(make(3, 2)(torch.eye(3), Neighbours(alone))).all()


def test_networks_learn_and_say_their_classes():
    space = nasbench_graph(nodes=20, features=6, links=30, classes=3, width=4, dropout=0.0)
    network = space.subnet(read("x0012", "gat|skip|cheb|arma"))
    nodes = torch.arange(20)
    before = torch.nn.functional.cross_entropy(network(nodes), nodes % 3)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(nodes), nodes % 3)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7 * before.item()
