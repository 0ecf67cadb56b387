"""The differentiable rank correlation, the network, and ParZC as its card says."""

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from nas.predictors import LayerLayout, ParZC
from nas.predictors.diff_kendall import diff_kendall, diff_kendall_loss
from nas.predictors.mabn import MABN, BayesianLinear, dropped

SMALL = {"width": 32, "depth": 1, "lr": 1e-3}


def layerwise(rows, layers=12, seed=0):
    """Scores [N, layers], the deeper layers of some networks absent, and an accuracy that rests on few of them."""
    generator = np.random.default_rng(seed)
    x = generator.lognormal(0, 1, (rows, layers))
    x[np.arange(layers) >= generator.integers(layers // 2, layers + 1, rows)[:, None]] = 0
    return x, 70 + 10 * np.tanh(np.log1p(x[:, :3]).sum(1) - 2) + (x > 0).sum(1)


# ---- the loss -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ((0, 1, 2), (0, 1, 2), 0.222348),
        ((0, 1, 2), (2, 1, 0), -0.222348),
        ((0, 100, 200), (0, 100, 200), 2.0),
        ((0, 1, 2), (0, 2, 1), 0.110918),
    ],
)
def test_correlation_has_the_published_codes_values(x, y, expected):
    x, y = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    assert diff_kendall(x, y).item() == pytest.approx(expected, abs=1e-6)
    assert diff_kendall_loss(x, y).item() == pytest.approx(-expected, abs=1e-6)


def test_correlation_equals_the_loop_over_pairs():
    x, y = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for i in range(9):
        for j in range(9):
            signs = [(0.7 * (v[i] - v[j])).sigmoid() - (-0.7 * (v[i] - v[j])).sigmoid() for v in (x, y)]
            total += (signs[0] * signs[1]).item()
    assert diff_kendall(x, y, alpha=0.7).item() == pytest.approx(total / 36, abs=1e-12)


def test_correlation_of_wide_gaps_is_twice_kendalls():
    x, y = torch.randn(2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert diff_kendall(1e6 * x, 1e6 * y).item() == pytest.approx(2 * kendalltau(x, y).statistic, abs=1e-4)


def test_a_wrongly_ordered_pair_is_pulled_together_and_a_shift_changes_nothing():
    predictions = torch.tensor([2.0, 0.0], requires_grad=True)
    targets = torch.tensor([0.0, 1.0])  # the second is better, and ranked lower
    diff_kendall_loss(predictions, targets).backward()
    assert predictions.grad[0] > 0 > predictions.grad[1]  # a step against it lowers the first and lifts the second
    assert torch.isclose(diff_kendall_loss(predictions + 5, targets), diff_kendall_loss(predictions, targets))


@pytest.mark.parametrize(("shapes", "message"), [(((1,), (1,)), "no pair"), (((3,), (3, 1)), r"targets \[3, 1\]")])
def test_what_cannot_be_ranked_is_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        diff_kendall(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


# ---- the network ----------------------------------------------------------------------------------------------------


def test_network_has_the_published_shape():
    network = MABN(294)
    sizes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    assert sizes["project.weight"] == (256, 294)
    assert sizes["embed.mu"] == sizes["embed.rho"] == (512, 16)
    assert [sizes[f"blocks.{i}.expand.weight"] for i in range(8)] == 4 * [(2048, 512), (256, 512)]
    assert sizes["head.mu"] == sizes["head.rho"] == (512, 512)
    assert sizes["hidden.weight"] == (256, 512)
    assert sizes["score.weight"] == (1, 256)
    assert not any(name.startswith(("embed", "head", "hidden", "score")) and "bias" in name for name in sizes)
    sigma = torch.nn.functional.softplus(network.embed.rho)
    assert sigma.detach().numpy() == pytest.approx(0.0067, abs=2e-5)


def test_bayesian_weights_have_the_stated_mean_and_deviation():
    layer = BayesianLinear(4, 3)
    torch.nn.init.constant_(layer.rho, -1.0)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([layer(torch.eye(4), generator).T for _ in range(4000)])
    assert torch.allclose(drawn.mean(0), layer.mu, atol=0.03)
    assert torch.allclose(drawn.std(0), torch.full((3, 4), 0.3133), atol=0.02)
    assert torch.equal(layer(torch.eye(4), None).T, layer.mu)


def test_without_uncertainty_a_draw_equals_the_mean_weights():
    network, x = MABN(10, width=32, depth=1).eval(), torch.randn(5, 10)
    assert not torch.equal(network(x, torch.Generator().manual_seed(0)), network(x))
    for layer in (network.embed, network.head):
        torch.nn.init.constant_(layer.rho, -100.0)
    assert torch.allclose(network(x, torch.Generator().manual_seed(0)), network(x), atol=1e-6)


@pytest.mark.parametrize("mix_segments", [False, True])
def test_segments_meet_in_the_mean_alone_unless_they_are_mixed(mix_segments):
    network = MABN(10, width=32, depth=1, mix_segments=mix_segments).eval()
    y = torch.randn(1, 16, 32)
    changed = y.clone()
    changed[0, 3] += torch.randn(32)
    difference = (network.blocks[0](changed, None) - network.blocks[0](y, None)).abs().amax(2)[0]
    assert (difference > 1e-6).sum() == (16 if mix_segments else 1)


def test_dropping_takes_the_stated_share_keeps_the_mean_and_cuts_the_gradient():
    x = torch.ones(200, 999, requires_grad=True)
    y = dropped(x, 0.1, torch.Generator().manual_seed(0))
    assert (y == 0).float().mean().item() == pytest.approx(0.1, abs=0.004)
    assert y[y > 0].detach().unique().tolist() == pytest.approx([1 / 0.9])
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    assert dropped(x, 0.0, None) is x


# ---- the predictor --------------------------------------------------------------------------------------------------


def test_twenty_architectures_are_learnt_by_heart():
    x, y = layerwise(20)
    predictor = ParZC(width=128, depth=2, epochs=150, lr=1e-3).fit(x, y)
    assert kendalltau(predictor.predict(x).mean, y).statistic > 0.95


def test_prediction_by_mean_weights_repeats_and_has_no_std():
    x, y = layerwise(20)
    predictor = ParZC(**SMALL, epochs=3).fit(x, y)
    assert np.array_equal(predictor.predict(x).mean, predictor.predict(x).mean)
    assert predictor.predict(x).std is None


def test_draws_of_the_weights_give_a_spread_and_repeat_too():
    x, y = layerwise(600)
    predictor = ParZC(**SMALL, epochs=1, draws=4).fit(x[:20], y[:20])
    drawn = predictor.predict(x)
    assert (drawn.std > 0).all()
    # more rows than one batch: each draw is of the same weights for all of them
    assert np.allclose(predictor.predict(x[::-1]).mean, drawn.mean[::-1], atol=1e-5)
    by_mean = ParZC(**SMALL, epochs=1).fit(x[:20], y[:20]).predict(x).mean
    assert np.abs(drawn.mean - by_mean).max() < 10 * drawn.std.max()


def test_padding_does_not_change_the_score_of_a_network():
    """A shallow network alone is scored as it is beside a deeper one."""
    generator = np.random.default_rng(0)
    shallow = {"snip": {f"conv{i}": float(v) for i, v in enumerate(generator.random(4))}}
    deep = {"snip": {f"conv{i}": float(v) for i, v in enumerate(generator.random(9))}}
    layout = LayerLayout.of([shallow, deep])
    x, y = layerwise(20, layers=9)
    predictor = ParZC(**SMALL, epochs=2).fit(x, y)
    alone = predictor.predict(layout.features([shallow])).mean[0]
    assert alone == pytest.approx(predictor.predict(layout.features([deep, shallow])).mean[1], abs=1e-6)


def test_scaling_per_architecture_takes_each_proxy_by_itself():
    x, y = layerwise(20)
    both = np.concatenate([x, 1e6 * x[:, ::-1]], axis=1)
    predictor = ParZC(**SMALL, epochs=2, proxies=2).fit(both, y)
    moved = np.concatenate([7 * x, 5e3 * x[:, ::-1]], axis=1)
    assert np.allclose(predictor.predict(both).mean, predictor.predict(moved).mean, atol=1e-5)
    together = ParZC(**SMALL, epochs=2).fit(both, y)
    assert not np.allclose(together.predict(both).mean, together.predict(moved).mean, atol=1e-5)


@pytest.mark.parametrize("scaling", ["none", "architecture", "column"])
def test_missing_scores_count_as_zero(scaling):
    x, y = layerwise(20)
    x[:5, -1] = 0
    missing = x.copy()
    missing[:5, -1] = np.nan
    with_zeros, with_nan = (
        ParZC(**SMALL, epochs=2, scaling=scaling).fit(data, y).predict(data) for data in (x, missing)
    )
    assert np.array_equal(with_zeros.mean, with_nan.mean)


def test_compression_brings_scores_of_any_size_within_reach():
    x, y = layerwise(20)
    huge = np.where(x > 0, 1e300 * x, 0)
    with pytest.raises(ValueError, match="beyond float32; use log=True"):
        ParZC(**SMALL, scaling="none").fit(huge, y)
    assert np.isfinite(ParZC(**SMALL, epochs=1, scaling="none", log=True).fit(huge, y).predict(huge).mean).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scaling": "row"}, "scaling is 'row'; allowed: architecture, column, none"),
        ({"draws": 1}, "draws is 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"proxies": 5}, "12 columns; they must be a multiple of proxies=5"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ParZC(**options).fit(*layerwise(5))


def test_targets_without_an_order_are_refused():
    with pytest.raises(ValueError, match=r"targets are all 3.0; there is no order to learn"):
        ParZC().fit(layerwise(5)[0], np.full(5, 3.0))
