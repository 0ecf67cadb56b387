"""The space of GraphNAS and Auto-GNN: counts, tokens, formulas, and what its networks promise."""

import math
from itertools import product

import numpy as np
import pytest
import torch

from search_spaces import InvalidArchitecture
from search_spaces.attributed_graph import AttributedGraph, dense_graph
from search_spaces.errors import FieldError
from search_spaces.families.gnn import gnn, tokens_of
from search_spaces.families.gnn_operations import AGGREGATES, ATTENTIONS
from search_spaces.message_passing import Neighbours
from search_spaces.networks.gnn_parts import Aggregate, Attention, Combine, Gathered, Sent, Weighted

PATH = dense_graph(np.eye(3), np.array([[0, 1], [1, 2]]))
SMALL = {"nodes": 12, "features": 6, "links": 20, "classes": 3, "heads": (1, 2), "widths": (2, 3), "dropout": 0.0}


def permuted(graph: AttributedGraph, order: np.ndarray) -> AttributedGraph:
    """The graph whose node i is node `order[i]` of the given one."""
    table = np.zeros((graph.nodes, graph.features))
    for node in range(graph.nodes):
        columns, values = graph.row(node)
        table[node, columns] = values
    return dense_graph(table[order], np.argsort(order)[graph.edges])


def some_graph() -> AttributedGraph:
    generator = np.random.default_rng(0)
    return dense_graph(generator.normal(size=(8, 5)), generator.integers(0, 8, (12, 2)))


# ---- the space ------------------------------------------------------------------------------------------------------


def test_published_counts_and_what_the_classes_make_of_the_last_width():
    assert gnn(overridden=True, layers=1).count() == 9_408
    assert gnn(overridden=True).count() == 88_510_464
    assert gnn().count() == 9_408 * 1_344 == 12_644_352
    assert gnn(combines=("identity", "mlp")).count() == 4 * 12_644_352


def test_the_overridden_width_does_nothing():
    space = gnn(**{**SMALL, "overridden": True})
    base = dict(space.largest())
    for width in SMALL["widths"]:
        costs = space.costs([base | {"layer2.width": width}])
        assert costs["params"][0] == gnn(**SMALL).costs([gnn(**SMALL).largest()])["params"][0]


def test_tokens_round_trip_in_the_published_order():
    space, generator = gnn(), np.random.default_rng(0)
    for _ in range(20):
        architecture = space.sample(generator)
        assert space.read_row({"tokens": tokens_of(architecture, classes=7)}) == architecture
    found = space.read_row({"tokens": "['gat', 'sum', 'linear', 4, 128, 'cos', 'max', 'relu', 2, 7]"})
    assert [found[f"layer1.{name}"] for name in ("attention", "aggregate", "activation", "heads", "width")] == [
        *("gat", "sum", "linear"),
        *(4, 128),
    ]
    assert (found["layer2.attention"], found["layer2.heads"]) == ("cos", 2)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ("gat|sum|linear|4|128", "must be 5 tokens for each of 2 layers, got 5"),
        ("gat|sum|linear|four|128|cos|max|relu|2|7", "heads must be a number, got 'four'"),
        ("gat|sum|linear|3|128|cos|max|relu|2|7", "layer1.heads = 3 is not one of"),
    ],
)
def test_wrong_tokens_are_refused(tokens, message):
    with pytest.raises(InvalidArchitecture, match=message):
        gnn().read_row({"tokens": tokens})


def test_costs_written_out_by_hand():
    """GCN on Cora without a bias: 1433 * 16 + 16 * 7 weights; features that are not 0, and 13,264 messages."""
    space = gnn()
    costs = space.costs([space.read_row({"tokens": "gcn|sum|relu|1|16|gcn|sum|linear|1|7"})])
    entries, messages = 2708 * 18, 2 * 5278 + 2708
    assert costs["params"][0] == 1433 * 16 + 16 * 7
    assert costs["macs"][0] == entries * 16 + messages * 16 + 2708 * 16 * 7 + messages * 7
    gat = space.costs([space.read_row({"tokens": "gat|mean|relu|8|8|generalized_linear|sum|linear|1|7"})])
    first = 1433 * 64 + 2 * 64 + 8 * (64 + 8)
    assert gat["params"][0] == first + 64 * 7 + 2 * 64 * 7 + 64


def test_what_does_not_fit_into_memory_is_refused_in_one_line():
    with pytest.raises(FieldError, match=r"must be at least .*, which training 16 heads of 256 features on") as caught:
        gnn(nodes=200, features=50, links=2_000, memory_gb=0.2)
    assert caught.value.field == "memory_gb"
    assert "\n" not in str(caught.value)
    assert gnn(nodes=200, features=50, links=2_000, memory_gb=0.2, heads=(1, 2), widths=(4, 8)).count() > 0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"attentions": ("gat", "gta")}, "attentions"),
        ({"aggregates": ()}, "aggregates"),
        ({"heads": (2, 1)}, "heads"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"nodes": 1}, "nodes"),
    ],
)
def test_wrong_options_are_named(options, field):
    with pytest.raises(FieldError) as caught:
        gnn(**options)
    assert caught.value.field == field


# ---- formulas -------------------------------------------------------------------------------------------------------


def test_weights_of_gcn_on_a_path():
    neighbours = Neighbours(PATH)
    weights = Attention("gcn", 1, 1)(Sent(torch.ones(3, 1, 1), neighbours))[:, 0]
    found = {pair: float(w) for pair, w in zip(zip(neighbours.source.tolist(), neighbours.target.tolist()), weights)}
    assert found[1, 1] == pytest.approx(1 / 3)
    assert found[0, 1] == found[1, 0] == pytest.approx(1 / math.sqrt(6))
    assert found[0, 0] == pytest.approx(1 / 2)


def test_attention_without_direction_is_the_plain_mean_of_constant_messages():
    neighbours, features = Neighbours(some_graph()), torch.randn(8, 2, 3)
    attention = Attention("gat", 2, 3)
    for vector in attention.parameters():
        torch.nn.init.zeros_(vector)
    weights = attention(Sent(features, neighbours))
    found = Aggregate("sum", 2, 3)(Weighted(features, weights, neighbours))
    assert torch.allclose(found, neighbours.mean(neighbours.sent(features)), atol=1e-6)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_attentions_are_those_of_the_card(kind):
    """Each weight by itself, in loops over messages, from the formulas as they are printed."""
    torch.manual_seed(0)
    neighbours, features = Neighbours(some_graph()), torch.randn(8, 2, 3)
    attention = Attention(kind, 2, 3)
    found = attention(Sent(features, neighbours))
    vectors = dict(attention.named_parameters())
    pairs = list(zip(neighbours.source.tolist(), neighbours.target.tolist()))

    def score(j: int, i: int, head: int) -> torch.Tensor:
        if kind == "const":
            return torch.tensor(1.0)
        if kind == "gcn":
            return torch.tensor([sum(t == node for _, t in pairs) ** -0.5 for node in (i, j)]).prod()
        left = {node: vectors["left"][head] @ features[node, head] for node in (i, j)} if "left" in vectors else {}
        right = {node: vectors["right"][head] @ features[node, head] for node in (i, j)}
        leaky = torch.nn.LeakyReLU(0.2)
        return {
            "gat": lambda: leaky(left[i] + right[j]).sum(),
            "gat_sym": lambda: leaky((left[i] + right[j]) + (right[i] + left[j])).sum(),
            "cos": lambda: leaky((left[i] * right[j]).sum()),
            "linear": lambda: right[j].tanh().sum(),
            "generalized_linear": lambda: vectors["mix"][head] @ (left[i] + right[j]).tanh(),
        }[kind]()

    for head in range(2):
        scores = torch.stack([score(*pair, head) for pair in pairs])
        if kind not in ("const", "gcn"):
            powers = scores.exp()
            total = [sum(p for p, (_, t) in zip(powers, pairs) if t == node) for node in range(8)]
            scores = torch.stack([p / total[target] for p, (_, target) in zip(powers, pairs)])
        assert torch.allclose(found[:, head], scores, atol=1e-5)


@pytest.mark.parametrize("kind", AGGREGATES)
def test_aggregates_are_those_of_the_card(kind):
    torch.manual_seed(0)
    neighbours, features = Neighbours(some_graph()), torch.randn(8, 2, 3)
    weights = torch.rand(len(neighbours.source), 2)
    part = Aggregate(kind, 2, 3)
    if kind != "sum":
        torch.nn.init.uniform_(part.bias)
    found = part(Weighted(features, weights, neighbours))
    reduce = {"mean": lambda x: x.mean(0), "max": lambda x: x.amax(0)}.get(kind, lambda x: x.sum(0))
    for node, head in product(range(8), range(2)):
        places = np.flatnonzero(neighbours.target.numpy() == node)
        messages = features[neighbours.source[places], head] * weights[places, head, None]
        if kind != "sum":
            messages = torch.nn.functional.leaky_relu(messages @ part.weight[head].T + part.bias[head])
        assert torch.allclose(found[node, head], reduce(messages), atol=1e-5)


def test_a_combination_reads_what_a_node_has_and_what_it_has_gathered():
    own, gathered = torch.randn(4, 2, 3), torch.randn(4, 2, 3)
    assert Combine("identity", 2, 3)(Gathered(own, gathered)) is gathered
    part = Combine("mlp", 2, 3)
    assert part.weight.shape == (2, 3, 2, 3)
    found = part(Gathered(own, gathered))
    joined = torch.cat([own[1, 0], gathered[1, 0]])
    expected = torch.nn.functional.leaky_relu(part.weight[0].flatten(1) @ joined + part.bias[0])
    assert torch.allclose(found[1, 0], expected, atol=1e-6)


# ---- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_another_numbering_of_the_nodes_gives_the_same_logits(aggregate, attention):
    graph, order = some_graph(), np.random.default_rng(1).permutation(8)
    options = {"classes": 3, "attentions": (attention,), "aggregates": (aggregate,), "heads": (2,), "widths": (3,)}
    options |= {"activations": ("elu",), "dropout": 0.0}
    ours, theirs = gnn(graph=graph, **options), gnn(graph=permuted(graph, order), **options)
    network, other = ours.subnet(ours.largest()).eval(), theirs.subnet(theirs.largest()).eval()
    other.load_state_dict(network.state_dict())
    found, expected = other(torch.arange(8)), network(torch.from_numpy(order))
    assert torch.allclose(found, expected, atol=1e-5)


def test_heads_of_the_last_layer_are_averaged_and_others_stand_side_by_side():
    space = gnn(**SMALL)
    network = space.subnet(space.largest())
    shapes = []
    for layer in network.layers:
        layer.register_forward_hook(lambda module, given, output: shapes.append(tuple(output.shape)))
    network(torch.arange(2))
    assert shapes == [(12, 6), (12, 3)]


def test_a_subnet_has_the_first_features_of_the_first_heads():
    space = gnn(**SMALL)
    network = space.build()
    for layer in network.layers:
        layer.project.activate(space.smallest())
    first, last = (layer.project for layer in network.layers)
    assert torch.equal(first.extract().weight, first.weight[0, :2])
    assert torch.equal(last.extract().weight, last.weight[0, :, 0, :2])


def test_dropped_out_messages_are_those_of_training_alone():
    torch.manual_seed(0)
    space = gnn(**{**SMALL, "dropout": 0.5})
    network = space.subnet(space.read_row({"tokens": "gat|sum|relu|1|2|gat|sum|linear|1|3"}))
    nodes = torch.arange(12)
    assert not torch.equal(network(nodes), network(nodes))
    network.eval()
    assert torch.equal(network(nodes), network(nodes))


def test_a_network_is_exported_as_onnx_for_any_number_of_nodes():
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    from nas.hardware.onnx_model import onnx_bytes

    space = gnn(**SMALL)
    tokens = "generalized_linear|max|elu|2|3|gat_sym|mlp|relu|2|3"
    network = space.subnet(space.read_row({"tokens": tokens})).eval()
    session = onnxruntime.InferenceSession(onnx_bytes(network, space.example(batch=2), dynamic_batch=True))
    nodes = torch.tensor([3, 1, 1, 7, 11])
    (found,) = session.run(None, {"input": nodes.numpy()})
    assert np.allclose(found, network(nodes).detach().numpy(), atol=1e-5)
