"""What shared passes promise: the model stays as it is, scores do not depend on each other, mistakes are reasons."""

import re
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxies import Batch, Losses, Passes, Proxy, Score, ScoreError, score
from proxies.epe_nas import EpeNas
from proxies.fisher import Fisher
from proxies.gradsign import GradSign
from proxies.grasp import Grasp
from proxies.jacov import Jacov
from proxies.nwot import Nwot
from proxies.size import Macs
from proxies.snip import Snip
from proxies.synflow import SynFlow
from tests.proxies import networks, reference_gradients, reference_samples
from tests.proxies.networks import classified

PROXIES: dict[str, Proxy] = {
    "fisher": Fisher(),
    "gradsign": GradSign(),
    "grasp": Grasp(),
    "jacov": Jacov(),
    "nwot": Nwot(),
    "snip": Snip(),
    "synflow": SynFlow(),
    "macs": Macs(),
}


def values(results: dict[str, Score | ScoreError]) -> dict[str, float | str]:
    return {name: result.value if isinstance(result, Score) else str(result) for name, result in results.items()}


def state(model: nn.Module) -> list[object]:
    """Everything of a model that could have changed, tensors by value and identity."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return [
        [(name, id(t), t.dtype, t.detach().clone(), t.requires_grad, t.stride()) for name, t in tensors.items()],
        [(name, id(m), m.training, getattr(m, "inplace", None), len(m._forward_hooks)) for name, m in named(model)],
        [None if p.grad is None else (id(p.grad), p.grad.clone()) for p in model.parameters()],
    ]


def named(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return list(model.named_modules())


def same(a: object, b: object) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_not_changed(training: bool) -> None:
    model = networks.network("residual").train(training)
    images, labels = networks.batch()
    model(images).sum().backward()  # gradients and running statistics of its own
    model[0].weight.requires_grad_(False)
    before, inputs = state(model), images.clone()
    random = torch.get_rng_state()
    score(model, classified(images, labels), PROXIES)
    assert same(state(model), before)
    assert torch.equal(images, inputs)
    assert not images.requires_grad
    assert torch.equal(torch.get_rng_state(), random)


def test_the_comparison_of_states_sees_a_change() -> None:
    model = networks.network("residual")
    before = state(model)
    model[1].running_mean += 1
    assert not same(state(model), before)


def test_without_a_copy_scores_are_the_same() -> None:
    images, labels = networks.batch()
    kept = score(networks.network("strided"), classified(images, labels), PROXIES)
    assert score(networks.network("strided"), classified(images, labels), PROXIES, copy=False) == kept


@pytest.mark.parametrize("network", ["residual", "strided", "attention"])
def test_scores_do_not_depend_on_which_others_are_asked_or_in_which_order(network: str) -> None:
    """Beyond rounding: a second derivative that is asked for changes how the shared pass is computed."""
    model = networks.network(network).double()
    images, labels = networks.batch()
    together = values(score(model, classified(images, labels), PROXIES))
    assert values(score(model, classified(images, labels), dict(reversed(PROXIES.items())))) == together
    for name, proxy in PROXIES.items():
        expected = together[name]
        found = values(score(model, classified(images, labels), {name: proxy}))[name]
        assert found == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-9))


def test_dropout_is_off_and_the_seed_changes_nothing_where_nothing_is_drawn() -> None:
    model = networks.network("residual").train()
    batch = classified(*networks.batch())
    assert score(model, batch, PROXIES, seed=1) == score(model, batch, PROXIES, seed=2)


def test_random_numbers_depend_on_the_seed_and_the_purpose_alone() -> None:
    images, labels = networks.batch()

    def drawn(seed: int, purpose: str) -> list[float]:
        passes = Passes(networks.network("plain"), classified(images, labels), seed=seed)
        passes.generator("something else").seed()
        return torch.rand(3, generator=passes.generator(purpose)).tolist()

    assert drawn(0, "a") == drawn(0, "a")
    assert drawn(0, "a") != drawn(1, "a")
    assert drawn(0, "a") != drawn(0, "b")


def test_shared_work_is_done_once() -> None:
    passes = Passes(networks.network("plain"), classified(*networks.batch()))
    made: list[Passes] = []

    def make(passes: Passes) -> int:
        made.append(passes)
        return 0

    assert passes.shared(make) == passes.shared(make) == 0
    assert made == [passes]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_images_that_are_not_finite_are_refused(value: float) -> None:
    images, labels = networks.batch()
    images[3, 1, 0, 0] = value
    with pytest.raises(ValueError, match="1 of 3,456 values are not finite"):
        score(networks.network("plain"), classified(images, labels), PROXIES)


def test_batches_that_are_none_are_refused() -> None:
    images, labels = networks.batch()
    model = networks.network("plain")
    with pytest.raises(ValueError, match="groups of its 8 examples, got 3"):
        score(model, classified(images, labels[:3]), PROXIES)
    with pytest.raises(ValueError, match="groups are class numbers"):
        score(model, classified(images, labels.float()), PROXIES)
    with pytest.raises(ValueError, match="groups are class numbers"):
        score(model, classified(images, F.one_hot(labels, 4)), PROXIES)
    for none in ((), (images[:0],), (torch.tensor(1.0),)):
        with pytest.raises(ValueError, match="tensors with examples first"):
            Batch(none, lambda output, rows: output.sum(1))
    with pytest.raises(ValueError, match="no convolution and no linear layer"):
        score(nn.ReLU(), classified(images, labels), PROXIES)


@pytest.mark.parametrize("wrong", [-1, 4])
def test_a_label_outside_the_classes_is_a_reason_for_those_that_read_the_loss(wrong: int) -> None:
    images, labels = networks.batch()
    labels[2] = wrong
    results = score(networks.network("plain"), classified(images, labels), PROXIES)
    refused = {name for name, result in results.items() if isinstance(result, ScoreError)}
    assert refused == {"fisher", "gradsign", "grasp", "snip"}
    assert f"the loss fails on an output (8, 4): Target {wrong} is out of bounds" in str(results["snip"])


def test_groups_of_other_integer_types_are_the_same() -> None:
    images, labels = networks.batch()
    model = networks.network("plain")
    proxies = {"epe_nas": EpeNas(), **PROXIES}
    assert score(model, classified(images, labels.int()), proxies) == score(model, classified(images, labels), proxies)


class Features(nn.Module):
    """Gives a tuple, whole numbers, or an output that depends on nothing."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv, self.kind = nn.Conv2d(3, 4, 1), kind

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if self.kind == "nothing":
            with torch.no_grad():
                return self.conv(x).mean((2, 3))
        return self.conv(x).mean((2, 3)).argmax(1) if self.kind == "classes" else (self.conv(x).mean((2, 3)), x)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("classes", ",), not numbers [B, ...]"), ("tuple", "gives a tuple"), ("nothing", "depends on no weight")],
)
def test_a_model_whose_output_has_no_gradient_is_a_reason(kind: str, message: str) -> None:
    results = score(Features(kind), classified(*networks.batch()), PROXIES)
    assert all(isinstance(result, ScoreError) and message in str(result) for result in results.values())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda output, rows: output.square().mean(), r"a tensor \(\), not a number for each of 8 examples"),
        (lambda output, rows: output.square(), r"a tensor \(8, 4\), not a number for each of 8 examples"),
        (lambda output, rows: output @ output, r"the loss fails on an output \(8, 4\)"),
    ],
)
def test_a_loss_that_does_not_fit_is_a_reason_for_those_that_read_it(loss: Losses, message: str) -> None:
    images, _ = networks.batch()
    results = score(networks.network("plain"), Batch((images,), loss), PROXIES)
    refused = {name: str(result) for name, result in results.items() if isinstance(result, ScoreError)}
    assert refused.keys() == {"fisher", "gradsign", "grasp", "snip"}
    assert all(re.search(message, reason) for reason in refused.values())


def test_images_that_do_not_fit_are_a_reason() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(7, 4))
    results = score(model, classified(*networks.batch()), PROXIES)
    assert "the model fails on inputs (8, 3, 12, 12)" in str(results["snip"])


class InPlace(nn.Module):
    """What is written over: outputs of convolutions by activations, sums and products."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.head, self.kind = nn.Linear(6, 4), kind
        self.relu, self.again = nn.ReLU(kind == "modules"), nn.ReLU(kind == "modules")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        y = self.second(x)
        changed = getattr(self, f"{self.kind}_")(y, x)
        return self.head(self.again(y if changed is None else changed).mean((2, 3)))

    def modules_(self, y: Tensor, x: Tensor) -> None:
        pass

    def add_(self, y: Tensor, x: Tensor) -> Tensor:
        y += x
        return y

    def unused_result_(self, y: Tensor, x: Tensor) -> None:
        y.mul_(2).add_(x)

    def functional_(self, y: Tensor, x: Tensor) -> Tensor:
        return F.relu(y, inplace=True)

    def hardswish_(self, y: Tensor, x: Tensor) -> Tensor:
        return F.hardswish(y, inplace=True)


@pytest.mark.parametrize("kind", ["modules", "add", "unused_result", "functional", "hardswish"])
def test_operations_in_place_change_no_score(kind: str) -> None:
    torch.manual_seed(0)
    model = InPlace(kind).double()
    images, labels = networks.batch()
    results = score(model, classified(images, labels), {name: PROXIES[name] for name in ("gradsign", "fisher", "snip")})
    for name, naive in (("fisher", reference_gradients.fisher), ("gradsign", reference_samples.gradsign)):
        expected = naive(deepcopy(model), images.double(), labels)
        assert list(results[name].layers.values()) == pytest.approx(expected, rel=1e-9), name
    assert results["snip"].value == pytest.approx(sum(reference_gradients.snip(model, images.double(), labels)))


class Twice(nn.Module):
    """One convolution and one ReLU, each used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.relu = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.relu(self.conv(self.relu(self.conv(x)))).mean((2, 3)))


def test_a_module_that_is_used_twice_counts_twice() -> None:
    torch.manual_seed(0)
    model = Twice().double()
    images, labels = networks.batch()
    images = images.double()
    results = score(model, classified(images, labels), PROXIES)
    assert results["nwot"].value == pytest.approx(reference_gradients.nwot(model, images, labels))
    assert results["macs"].layers["conv"] == 2 * 6 * 6 * 9 * 144
    for name, reference in (
        ("snip", reference_gradients.snip),
        ("fisher", reference_gradients.fisher),
        ("grasp", reference_gradients.grasp),
        ("gradsign", reference_samples.gradsign),
    ):
        expected = reference(model, images, labels)
        assert list(results[name].layers.values()) == pytest.approx(expected, rel=1e-9), name


def test_a_part_without_gradients_is_a_constant() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                features = self.body(x)
            return self.head(features.relu().mean((2, 3)))

    results = score(Frozen(), classified(*networks.batch()), PROXIES)
    for name in ("gradsign", "fisher", "snip"):
        assert results[name].layers["body"] == 0 < results[name].layers["head"], name
    assert "constant" in str(results["jacov"])
