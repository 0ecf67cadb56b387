"""Which proxies score models that do not classify images, and what the others say."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxies import Batch, Passes, Score, ScoreError, score
from service import catalogue
from tests.proxies import networks

PROXIES = {name: catalogue.resolve("proxy", name)() for name in catalogue.PROXIES}
NOT_ON_VECTORS = {
    "epe_nas": "compares samples within classes, and the examples have none",
    "zen": "no batch norm",
    "zen_running": "no batch norm",
    "meco": r"defined for pictures \[B, C, H, W\], the model reads float32 \(16, 10\)",
    "linear_regions": r"defined for pictures \[B, C, H, W\], the model reads float32 \(16, 10\)",
    "az_expressivity": "0 blocks with feature maps",
    "az_progressivity": "0 blocks with feature maps",
    "az_trainability": "0 blocks with feature maps",
}
NOT_ON_TOKENS = NOT_ON_VECTORS | {
    "meco": "defined for one input of real numbers, the model reads int64",
    "linear_regions": "defined for one input of real numbers, the model reads int64",
    **dict.fromkeys(
        ("az_expressivity", "az_progressivity", "az_trainability"), "defined for one input of real numbers"
    ),
    "jacov": "which have no gradient",
}


def perceptron() -> nn.Module:
    """A regression on vectors [B, 10] with two targets."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 2))


def vectors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(16, 10, generator=generator), torch.randn(16, 2, generator=generator)


class Copier(nn.Module):
    """Reads two sequences of tokens [B, T] and gives logits of the next tokens [B, T, K]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 16)
        self.first, self.second, self.head = nn.Linear(16, 24), nn.Linear(16, 24), nn.Linear(24, 12)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mixed = self.first(self.embedding(source)).mean(1, keepdim=True) + self.second(self.embedding(target))
        return self.head(mixed.relu())


def sequences() -> Batch:
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(0, 12, (16, 7), generator=generator)
    target = source.roll(1, 1)[:, :5]

    def losses(output: Tensor, rows: slice) -> Tensor:
        return F.cross_entropy(output.movedim(-1, 1), source[rows, :5], reduction="none").mean(1)

    return Batch((source, target), losses)


def reasons(scores: dict[str, Score | ScoreError]) -> dict[str, str]:
    return {name: str(found) for name, found in scores.items() if isinstance(found, ScoreError)}


def matching(found: dict[str, str], expected: dict[str, str]) -> None:
    assert found.keys() == expected.keys(), found
    for name, reason in expected.items():
        assert re.search(reason, found[name]), (name, found[name])


def test_these_proxies_score_a_regression_on_vectors_and_the_others_say_why() -> None:
    scores = score(perceptron(), networks.regressed(*vectors()), PROXIES)
    matching(reasons(scores), NOT_ON_VECTORS)
    assert [name for name in PROXIES if name not in NOT_ON_VECTORS] == [
        "params", "macs", "layers", "plain", "grad_norm", "l2_norm", "snip", "grasp", "synflow", "logsynflow", "fisher",
        "jacov", "nwot", "swap", "zico", "ntk", "nasi", "gradsign",
    ]  # fmt: skip


def test_these_proxies_score_a_model_of_two_sequences_and_the_others_say_why() -> None:
    matching(reasons(score(Copier(), sequences(), PROXIES)), NOT_ON_TOKENS)


def test_groups_give_vectors_a_score_within_classes() -> None:
    images, labels = vectors()[0], torch.arange(16) % 2
    assert isinstance(score(perceptron(), networks.classified(images, labels), PROXIES)["epe_nas"], Score)


@pytest.mark.parametrize("name", ["snip", "plain", "grad_norm", "grasp", "zico"])
def test_gradients_of_batches_are_those_of_the_loss_that_is_given(name: str) -> None:
    features, targets = vectors()
    model = perceptron().double()
    weights = [module.weight for module in model if isinstance(module, nn.Linear)]

    def gradients(rows: slice, create_graph: bool = False) -> tuple[Tensor, ...]:
        loss = F.mse_loss(model(features[rows].double()), targets[rows].double())
        return torch.autograd.grad(loss, weights, create_graph=create_graph)

    whole = gradients(slice(None), create_graph=True)
    products = torch.autograd.grad(sum((g.detach() * g).sum() for g in whole), weights)
    halves = [gradients(slice(0, 8)), gradients(slice(8, 16))]
    expected = {
        "snip": sum((w * g).abs().sum() for w, g in zip(weights, whole)),
        "plain": sum((w * g).sum() for w, g in zip(weights, whole)),
        "grad_norm": sum(g.norm() for g in whole),
        "grasp": -sum((w * p).sum() for w, p in zip(weights, products)),
        "zico": sum(((a.abs() + b.abs()) / (a - b).abs()).nan_to_num(0.0).sum().log() for a, b in zip(*halves)),
    }
    found = score(model, networks.regressed(features, targets.double()), {name: PROXIES[name]})[name]
    assert isinstance(found, Score), found
    assert found.value == pytest.approx(expected[name].item(), rel=1e-6)


@pytest.mark.parametrize("batch", [networks.regressed(*vectors()), sequences()], ids=["vectors", "sequences"])
def test_gradients_of_single_examples_are_those_of_the_loss_that_is_given(batch: Batch) -> None:
    """GradSign in one pass against the loop over examples."""
    model = (perceptron() if len(batch.inputs) == 1 else Copier()).double()
    batch = batch.to(torch.device("cpu"), torch.float64)
    weights = list(Passes(model, batch).weights.values())
    signs = [torch.zeros_like(weight) for weight in weights]
    passes = Passes(model, batch)
    for i in range(len(batch)):
        rows = slice(i, i + 1)
        loss = batch.losses(passes.model(*batch.part(rows)), rows).sum()
        for total, gradient in zip(signs, torch.autograd.grad(loss, list(passes.weights.values()))):
            total.add_(gradient.sign())
    found = score(model, batch, {"gradsign": PROXIES["gradsign"]})["gradsign"]
    assert isinstance(found, Score), found
    assert list(found.layers.values()) == [float(total.abs().sum()) for total in signs]


def test_nodes_of_a_graph_have_scores_of_the_whole_batch_and_none_of_single_examples() -> None:
    """Edges are no examples: what needs a part of the batch says that there is none."""

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(10, 24), nn.Linear(24, 2)

        def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
            hidden = self.first(nodes).relu()
            return self.second(hidden.index_add(0, edges[1], hidden[edges[0]]))

    features, targets = vectors()
    edges = torch.randint(0, 16, (2, 40), generator=torch.Generator().manual_seed(0))
    batch = Batch((features, edges), lambda output, rows: (output - targets[rows]).square().mean(1))
    chosen = {name: PROXIES[name] for name in ("snip", "grasp", "fisher", "nwot", "gradsign", "nasi", "zico")}
    scores = score(Graph(), batch, chosen)
    assert [name for name, found in scores.items() if isinstance(found, Score)] == ["snip", "grasp", "fisher", "nwot"]
    assert all("no examples by themselves" in reason for reason in reasons(scores).values())
