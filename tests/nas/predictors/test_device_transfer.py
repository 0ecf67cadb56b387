"""Transfer between devices against naive formulas, on devices whose nature is known, and on published tables."""

import pickle

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.stats import multivariate_normal, spearmanr

from nas.predictors import DeviceTransfer
from nas.predictors import device_transfer as module


def devices(rows=300, known=6, noise=0.01, seed=0):
    """Latencies [N, D + 1] in ms that come from three hidden costs, and one-hot descriptions [N, 4]."""
    generator = np.random.default_rng(seed)
    hidden = generator.lognormal(0.0, 0.5, (rows, 3))
    mixtures = generator.dirichlet([1, 1, 1], known + 1) * generator.lognormal(1.0, 1.0, (known + 1, 1))
    exact = hidden @ mixtures.T
    return exact * np.exp(noise * generator.normal(size=exact.shape)), np.eye(4)[generator.integers(4, size=rows)]


def learned(latency_ms, described, **options):
    features = np.hstack([latency_ms[:, :-1], described])
    return DeviceTransfer(**options).learn(features, latency_ms.shape[1] - 1), features


@pytest.mark.parametrize("columns", [0, 4])
def test_the_gradient_is_that_of_the_evidence(columns):
    latency_ms, described = devices(rows=25)
    known = module._Known.of(np.log(latency_ms[:, :-1]), described[:, :columns], 3)
    view = known.view(np.log(latency_ms[:, :-1]), described[:, :columns])
    likelihood = module._Likelihood(view, np.log(latency_ms[:, -1]))
    for shift in (0.0, 0.7, -0.5):
        start = module._CENTRE + shift
        size = np.linalg.norm(likelihood(start)[1])
        assert check_grad(lambda p: likelihood(p)[0], lambda p: likelihood(p)[1], start) < 1e-4 * max(1.0, size)


def test_a_prediction_is_the_mixture_of_hypotheses_weighted_by_their_evidence():
    latency_ms, described = devices(rows=60, known=3)
    transfer, features = learned(latency_ms, described)
    rows, view = np.arange(8), transfer._learned.view
    y = np.log(latency_ms[rows, -1])
    level = y.mean() - view.mean[rows].mean()
    residual = y - view.mean[rows] - level
    evidence, means, variances = [], [], []
    hypotheses = module._doubted(np.concatenate([transfer._learned.hypotheses, transfer._learned.strange]))
    assert len(hypotheses) == (2 * 3 + 1) * len(module._NOISE_FACTORS)
    for hypothesis in hypotheses:
        noise = np.exp(hypothesis[-1])
        all_with_all = module._Kernel(view, view)(hypothesis)
        seen = all_with_all[np.ix_(rows, rows)] + (noise + module._JITTER) * np.eye(8)
        evidence.append(multivariate_normal(np.zeros(8), seen).logpdf(residual))
        gain = all_with_all[:, rows] @ np.linalg.inv(seen)
        means.append(view.mean + level + gain @ residual)
        variances.append(np.diag(all_with_all - gain @ all_with_all[rows]) + noise)
    weights = np.exp(np.array(evidence) - max(evidence))
    weights /= weights.sum()
    mean = weights @ np.array(means)
    variance = weights @ (np.array(variances) + np.array(means) ** 2) - mean**2
    found = transfer.fit(features[rows], latency_ms[rows, -1]).predict(features)
    assert np.allclose(np.log(found.mean), mean, atol=1e-2)  # hypotheses of hardly any weight are left out
    assert np.allclose(found.std, np.exp(mean) * np.sqrt(np.expm1(variance)), rtol=0.1)


def test_ten_measurements_tell_a_device_that_is_like_others():
    latency_ms, described = devices()
    transfer, features = learned(latency_ms, described)
    rows = transfer.choose(10, np.random.default_rng(0))
    found = transfer.fit(features[rows], latency_ms[rows, -1]).predict(features)
    assert spearmanr(found.mean, latency_ms[:, -1]).statistic > 0.98
    assert np.mean(np.abs(found.mean / latency_ms[:, -1] - 1)) < 0.06


def test_a_device_of_a_new_kind_is_told_by_what_describes_the_architectures():
    latency_ms, described = devices(rows=400)
    prices = np.array([1.0, 2, 4, 8])
    latency_ms[:, -1] = described @ prices * np.exp(0.01 * np.random.default_rng(1).normal(size=400))
    transfer, features = learned(latency_ms, described)
    found = transfer.fit(features[:25], latency_ms[:25, -1]).predict(features[25:])
    assert np.mean(np.abs(found.mean / latency_ms[25:, -1] - 1)) < 0.08
    blind, features = learned(latency_ms, described[:, :0])
    found = blind.fit(features[:25], latency_ms[:25, -1]).predict(features[25:])
    assert np.mean(np.abs(found.mean / latency_ms[25:, -1] - 1)) > 0.3


def test_intervals_cover_a_device_that_is_noisier_than_all_others():
    latency_ms, described = devices(rows=600)
    latency_ms[:, -1] *= np.exp(0.08 * np.random.default_rng(1).normal(size=600))
    transfer, features = learned(latency_ms, described)
    found = transfer.fit(features[:40], latency_ms[:40, -1]).predict(features[40:])
    covered = np.mean(np.abs(found.mean - latency_ms[40:, -1]) < 1.96 * found.std)
    assert 0.88 < covered < 0.995


def test_a_unit_of_the_new_device_changes_the_unit_of_the_prediction_only():
    latency_ms, described = devices(rows=80)
    transfer, features = learned(latency_ms, described)
    found = transfer.fit(features[:10], latency_ms[:10, -1]).predict(features)
    scaled = transfer.fit(features[:10], 1000 * latency_ms[:10, -1]).predict(features)
    assert np.allclose(scaled.mean, 1000 * found.mean)
    assert np.allclose(scaled.std, 1000 * found.std)


def test_chosen_rows_leave_less_open_than_random_ones_and_are_a_prefix_of_more():
    latency_ms, described = devices()
    transfer, features = learned(latency_ms, described)
    chosen = transfer.choose(8, np.random.default_rng(3))
    assert len(set(chosen.tolist())) == 8
    assert np.array_equal(chosen, transfer.choose(20, np.random.default_rng(3))[:8])

    def left(rows):
        found = transfer.fit(features[rows], latency_ms[rows, -1]).predict(features)
        return np.mean((found.std / found.mean) ** 2)

    random = [left(np.random.default_rng(seed).choice(300, 8, replace=False)) for seed in range(20)]
    assert left(chosen) < np.median(random)


def test_rows_are_chosen_among_those_that_can_be_measured():
    latency_ms, described = devices()
    transfer, _ = learned(latency_ms, described)
    allowed = np.arange(250, 262)
    assert sorted(transfer.choose(12, np.random.default_rng(0), allowed)) == allowed.tolist()


def test_what_was_filled_in_does_not_make_the_devices_seem_free_of_noise():
    latency_ms, described = devices(rows=400, noise=0.1)
    measured = np.zeros((400, 6), dtype=bool)
    measured[:200] = True
    filled = latency_ms.copy()
    filled[200:, :-1] = devices(rows=400, noise=0.0)[0][200:, :-1]
    features = np.hstack([filled[:, :-1], described])
    noise = [
        np.exp(np.median(DeviceTransfer().learn(features, 6, mask)._learned.hypotheses[:, -1])) ** 0.5
        for mask in (measured, ~measured)
    ]
    assert noise[0] == pytest.approx(0.1, rel=0.5)
    assert noise[1] < noise[0] / 2


def test_it_can_be_stored_and_repeats_itself():
    latency_ms, described = devices(rows=60)
    transfer, features = learned(latency_ms, described)
    found = transfer.fit(features[:9], latency_ms[:9, -1]).predict(features).mean
    assert np.array_equal(pickle.loads(pickle.dumps(transfer)).predict(features).mean, found)
    again, _ = learned(latency_ms, described)
    assert np.array_equal(again.fit(features[:9], latency_ms[:9, -1]).predict(features).mean, found)
    order = np.random.default_rng(0).permutation(60)
    assert np.allclose(transfer.predict(features[order]).mean, found[order])
    assert transfer.predict(features[:0]).mean.shape == (0,)


def test_mistakes_are_named():
    latency_ms, described = devices(rows=30, known=3)
    features = np.hstack([latency_ms[:, :-1], described])
    with pytest.raises(RuntimeError, match="learn was not called"):
        DeviceTransfer().fit(features, latency_ms[:, -1])
    with pytest.raises(ValueError, match="devices must be from 2 to the 7 columns there are, got 1"):
        DeviceTransfer().learn(features, 1)
    with pytest.raises(ValueError, match="a latency must be above 0 ms, got -1 in row 0, column 0"):
        DeviceTransfer().learn(-np.ones((5, 2)), 2)
    with pytest.raises(ValueError, match="components must be 1 or more, got 0"):
        DeviceTransfer(components=0)
    transfer = DeviceTransfer().learn(features, 3)
    with pytest.raises(RuntimeError, match="predict was called before fit"):
        transfer.predict(features)
    with pytest.raises(ValueError, match="count must be from 1 to the 30 rows there are, got 31"):
        transfer.choose(31, np.random.default_rng(0))
    with pytest.raises(ValueError, match="features have 3 columns; 7 were learned"):
        transfer.fit(features[:, :3], latency_ms[:, -1])
    with pytest.raises(ValueError, match="a latency must be above 0 ms, got 0"):
        transfer.fit(features, np.zeros(30))
