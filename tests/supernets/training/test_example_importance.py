"""PA&DA, the data half: indicators, probabilities, orders and weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from supernets import Classification, Processes, Supernet, TrainConfig, phases, train
from supernets.training.example_importance import (
    ExampleImportance,
    example_probabilities,
    running_indicators,
)
from tests.supernets.helpers import Images
from tests.supernets.samplers.test_path_adaptive import CELLS


def indicators(logits, labels):
    return Classification().output_errors(logits, (logits, labels))


def importance(count: int = 50, *, batch_size: int = 10, seed: int = 0, weighted: bool = False) -> ExampleImportance:
    return ExampleImportance(
        count=count,
        batch_size=batch_size,
        seed=seed,
        weighted=weighted,
        processes=Processes(),
        device=torch.device("cpu"),
    )


# ---- the indicator --------------------------------------------------------------------------------------------------


def test_indicator_of_the_published_example():
    logits = torch.tensor([[2.0, 0, 0]] * 3)
    assert logits[0].softmax(0).tolist() == pytest.approx([0.7870, 0.1065, 0.1065], abs=5e-5)
    assert indicators(logits, torch.tensor([0, 1, 2])).tolist() == pytest.approx(
        [0.260888, 1.195416, 1.195416], abs=1e-6
    )


def test_indicator_is_the_norm_of_the_gradient_of_the_cross_entropy_by_the_logits():
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(64, 10, generator=generator)).double().requires_grad_()
    labels = torch.randint(10, (64,), generator=generator)
    F.cross_entropy(logits, labels, reduction="sum").backward()
    found = indicators(logits, labels)
    assert torch.allclose(found, logits.grad.norm(dim=1), atol=1e-6)
    assert not found.requires_grad


def test_indicator_lies_between_zero_and_the_square_root_of_two():
    logits = torch.tensor([[40.0, 0, 0], [0.0, 40, 0]])
    sure, wrong = indicators(logits, torch.tensor([0, 0])).tolist()
    assert 0 <= sure < 1e-6
    assert wrong == pytest.approx(2**0.5, abs=1e-6)


# ---- what an epoch leaves -------------------------------------------------------------------------------------------


def streamed(examples, values, count):
    """The definition: one record after the other."""
    running = np.zeros(count)
    for example, value in zip(examples, values):
        running[example] = (running[example] + value) / 2 if running[example] != 0 else value
    return running


@pytest.mark.parametrize("seed", range(5))
def test_running_indicators_equal_one_record_after_the_other(seed):
    rng = np.random.default_rng(seed)
    examples = rng.choice(40, size=200, p=rng.dirichlet(np.full(40, 0.3)))
    values = np.where(rng.random(200) < 0.1, 0.0, rng.random(200)).astype(np.float32)
    assert np.array_equal(running_indicators(examples, values, 45), streamed(examples, values, 45))


def test_images_that_an_epoch_did_not_show_have_the_uniform_part_only():
    p = example_probabilities(np.array([0.0, 1.0, 3.0, 0.0]), 0.6)
    assert p == pytest.approx([0.1, 0.25, 0.55, 0.1])
    assert example_probabilities(np.array([0.0, 1.0]), 0.0) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("running", [[0, 0, 0], [1, np.nan, 0], [np.inf, 1, 1]])
def test_indicators_that_say_nothing_give_uniform_probabilities(running):
    assert example_probabilities(np.array(running, dtype=float), 0.9) == pytest.approx([1 / 3] * 3)


# ---- orders ---------------------------------------------------------------------------------------------------------


def test_first_epoch_shows_every_image_once_and_orders_repeat():
    examples = importance()
    assert sorted(examples.order(0).tolist()) == list(range(50))
    assert torch.equal(examples.order(0), importance().order(0))
    assert not torch.equal(examples.order(0), examples.order(1))
    assert not torch.equal(examples.order(0), importance(seed=1).order(0))


def test_images_are_drawn_as_often_as_their_probability_says():
    from scipy.stats import chisquare

    examples = importance(count=60)
    examples.probabilities = p = example_probabilities(np.random.default_rng(0).exponential(size=60), 0.8)
    counts = sum(np.bincount(examples.order(epoch).numpy(), minlength=60) for epoch in range(400))
    assert chisquare(counts, p * counts.sum()).pvalue > 1e-4


def record_epoch(examples: ExampleImportance, epoch: int, losses: np.ndarray) -> dict[str, float]:
    """An epoch in which image i is off by losses[i]."""
    order = examples.order(epoch)
    for batch in range(examples.count // examples.total):
        shown = order[batch * examples.total :][: examples.total]
        margin = torch.from_numpy(losses)[shown]
        examples.record(indicators(torch.stack([-margin, margin], dim=1), torch.zeros(len(shown), dtype=torch.int64)))
    return examples.end_epoch(epoch, 1.0)


def test_an_epoch_moves_probability_to_images_that_were_predicted_badly():
    examples = importance()
    losses = np.linspace(-3, 3, 50)
    summary = record_epoch(examples, 0, losses)
    assert examples.probabilities.sum() == pytest.approx(1)
    assert np.all(np.diff(examples.probabilities) > 0)
    expected = indicators(torch.from_numpy(np.stack([-losses, losses], 1)), torch.zeros(50, dtype=torch.int64))
    assert examples.probabilities == pytest.approx((expected / expected.sum()).numpy())
    assert summary["effective_fraction"] == pytest.approx(1 / (50 * np.square(examples.probabilities).sum()))
    assert summary["mean_indicator"] == pytest.approx(float(expected.mean()))


def test_state_in_the_middle_of_an_epoch_goes_on_alike(tmp_path):
    losses = np.linspace(-3, 3, 50)
    whole, other = importance(), importance()
    for examples in (whole, other):
        record_epoch(examples, 0, losses)
    order = whole.order(1)
    for batch in range(5):
        logits = torch.randn(10, 2, generator=torch.Generator().manual_seed(batch))
        labels = order[batch * 10 :][:10] % 2
        whole.record(indicators(logits, labels))
        other.record(indicators(logits, labels))
        if batch == 2:
            other.join()
            torch.save(other.state_dict(), tmp_path / "state.pt")
            other = importance()
            other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
            assert torch.equal(other.order(1), order)
    whole.end_epoch(1, 0.7)
    other.end_epoch(1, 0.7)
    assert np.array_equal(whole.probabilities, other.probabilities)
    assert torch.equal(whole.order(2), other.order(2))


# ---- weights and variance -------------------------------------------------------------------------------------------


def test_weights_make_the_mean_over_draws_that_over_all_images():
    examples = importance(count=40, weighted=True)
    examples.probabilities = example_probabilities(np.random.default_rng(1).exponential(size=40), 0.9)
    values = np.random.default_rng(2).normal(size=40)
    means = []
    for epoch in range(2000):
        order = examples.order(epoch).numpy()
        weights = torch.cat([examples.weights(epoch, batch) for batch in range(4)]).numpy()
        assert np.allclose(weights, 1 / (40 * examples.probabilities[order]))
        means.append((weights * values[order]).mean())
    standard_error = np.std(means) / len(means) ** 0.5
    assert abs(np.mean(means) - values.mean()) < 4 * standard_error


def test_images_have_no_weights_unless_asked_for():
    assert importance().weights(0, 0) is None
    assert torch.equal(importance(weighted=True).weights(0, 0), torch.ones(10))


def variance(gradients: np.ndarray, p: np.ndarray) -> float:
    """Of the weighted gradient of one drawn image."""
    n = len(p)
    return float((np.square(gradients / (n * p[:, None])).sum(1) * p).sum() - np.square(gradients.mean(0)).sum())


@pytest.mark.parametrize("tau", [0.25, 0.5, 0.75, 1.0])
def test_importance_lowers_the_gradient_variance_of_a_toy_quadratic(tau):
    rng = np.random.default_rng(3)
    inputs, targets, weight = rng.normal(size=(200, 5)), rng.normal(size=200) ** 3, rng.normal(size=5)
    gradients = (inputs @ weight - targets)[:, None] * inputs
    uniform = np.full(200, 1 / 200)
    p = example_probabilities(np.linalg.norm(gradients, axis=1), tau)
    assert variance(gradients, p) < variance(gradients, uniform)


def test_the_indicator_lowers_the_gradient_variance_of_a_classifier():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(300, 8, generator=generator).double()
    labels = torch.randint(4, (300,), generator=generator)
    weight = torch.randn(4, 8, generator=generator).double()
    logits = 2 * inputs @ weight.T
    off = logits.softmax(1) - F.one_hot(labels, 4)
    gradients = (off[:, :, None] * inputs[:, None, :]).reshape(300, -1).numpy()
    p = example_probabilities(indicators(logits, labels).numpy(), 0.8)
    assert variance(gradients, p) < 0.95 * variance(gradients, np.full(300, 1 / 300))


# ---- in a training --------------------------------------------------------------------------------------------------


class Shown(Images):
    """Remembers the order that each epoch was given."""

    def __init__(self) -> None:
        super().__init__()
        self.orders = {}

    def batches(self, batch_size, *, epoch, order=None, **options):
        self.orders[epoch] = order
        return super().batches(batch_size, epoch=epoch, order=order, **options)


def train_on(images: Images, **settings) -> Supernet:
    torch.manual_seed(0)
    config = TrainConfig(epochs=5, batch_size=16, lr=0.05, **settings)
    return train(Supernet(CELLS), phases(CELLS, config), images, config, seed=2)


def test_training_shows_what_was_drawn():
    images = Shown()
    train_on(images, examples="importance")
    assert sorted(images.orders) == [0, 1, 2, 3, 4]
    distinct = [len(order.unique()) for order in images.orders.values()]
    assert distinct[0] == 96
    assert max(distinct[1:]) < 80, "drawn with replacement, about 63 % distinct"


def test_without_importance_the_images_order_themselves():
    images = Shown()
    train_on(images)
    assert set(images.orders.values()) == {None}


def test_weights_reach_the_loss():
    plain, weighted = (train_on(Images(), examples="importance", example_weights=flag) for flag in (False, True))
    different = [not torch.equal(a, b) for a, b in zip(plain.state_dict().values(), weighted.state_dict().values())]
    assert any(different)
