"""What the surrogate searcher learns with: its gain, its models, its features and candidates."""

import itertools

import moocore
import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal, spearmanr

from nas.predictors import GroupedGaussianProcess, RankingEnsemble
from nas.predictors.grouped_gaussian_process import Posterior, _Density
from nas.searchers.new_architectures import key
from nas.searchers.surrogate.beliefs import Belief, Beliefs, Certainty, likeliest
from nas.searchers.surrogate.candidates import Candidates
from nas.searchers.surrogate.features import Features
from nas.searchers.surrogate.gain import Front, Outcomes
from nas.searchers.surrogate.surrogate import _reaching
from nas.searchers.surrogate.warp import Warp
from search_spaces.families.mobilenet_v3 import ofa_mobilenet_v3, small_mobilenet_v3
from search_spaces.families.nasbench101 import nasbench101
from tests.nas.helpers import bits
from tests.nas.searchers.test_surrogate import weighted

# ---- gain ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_gain_of_certain_outcomes_is_that_of_the_hypervolume(objectives):
    generator = np.random.default_rng(objectives)
    points = generator.random((12, objectives))
    reference, ideal = np.full(objectives, 1.1), np.zeros(objectives)
    front = Front(points, reference, ideal)
    candidates = generator.random((30, objectives)) * 1.4 - 0.2
    gains = front.gains([Outcomes(column[:, None], np.ones(1)) for column in candidates.T])

    def volume(rows):
        rows = rows[(rows < reference).all(axis=1)]
        if objectives == 1:
            return 1.1 - rows.min()
        return moocore.hypervolume(rows, ref=reference)

    expected = [volume(np.vstack([points, c])) - volume(points) for c in candidates]
    np.testing.assert_allclose(gains, np.array(expected) / 1.1**objectives, atol=1e-12)
    assert (gains > 0).any()


def test_the_expected_gain_is_the_mean_over_independent_outcomes():
    generator = np.random.default_rng(0)
    front = Front(generator.random((6, 2)), np.ones(2), np.zeros(2))
    values, weights = generator.random((2, 5, 3)), np.array([0.5, 0.3, 0.2])
    gains = front.gains([Outcomes(values[0], weights), Outcomes(values[1], weights)])
    for row in range(5):
        each = [
            weights[i] * weights[j] * (front.extended(np.array([values[0, row, i], values[1, row, j]])).volume())
            for i, j in itertools.product(range(3), repeat=2)
        ]
        assert gains[row] == pytest.approx(sum(each) - front.volume())


def test_an_empty_front_gains_by_every_point_before_the_reference():
    front = Front(np.zeros((0, 2)), np.ones(2), np.zeros(2))
    gains = front.gains(
        [Outcomes(np.array([[0.25], [1.5]]), np.ones(1)), Outcomes(np.array([[0.5], [0.1]]), np.ones(1))]
    )
    np.testing.assert_allclose(gains, [0.75 * 0.5, 0])
    assert front.volume() == 0


@pytest.mark.parametrize(("std", "reached"), [(0.05, 5.4), (0.001, 1.8)])
def test_the_front_reaches_to_where_the_first_objective_may_be_better_with_luck(std, reached):
    front = Front(np.array([[-0.9, 1.0]]), np.array([0.0, 9.0]), np.array([-0.9, 1.0]))
    posterior = Posterior(np.array([-0.89]), np.array([std]), np.zeros((1, 1)), None)
    worse_and_dearer = [Belief(posterior, Warp(best=0.0, extent=1.0)), Certainty(np.array([5.0]))]
    assert _reaching(front, Beliefs(worse_and_dearer, np.ones(1))).reference[1] == pytest.approx(reached)


# ---- models ----------------------------------------------------------------------------------------------------------


def told(space, n, seed=0):
    encodings = np.unique(space.sample_encodings(n, np.random.default_rng(seed)), axis=0)
    features = Features(space, np.random.default_rng(0))
    return features, features(encodings), weighted(space)(encodings)[:, 0]


def of_kind(model, features):
    if model == "ensemble":
        return RankingEnsemble()
    return GroupedGaussianProcess(groups=features.groups.tolist(), numeric=features.numeric)


def test_the_gradient_of_the_density_is_that_of_its_value():
    features, x, y = told(small_mobilenet_v3(), 25)
    numeric = np.isin(np.arange(features.groups.max() + 1), features.numeric)
    density = _Density(x - x.mean(0), (y - y.mean()) / y.std(), np.full(len(y), 0.01), (features.groups, numeric))
    start = density.centre + 0.3 * np.random.default_rng(0).normal(size=len(density.centre))
    gradient = density(start)[1]
    error = check_grad(lambda p: density(p)[0], lambda p: density(p)[1], start)
    assert error < 1e-4 * np.linalg.norm(gradient)


@pytest.mark.parametrize(("model", "least"), [("gp", 0.9), ("ensemble", 0.8)])
def test_models_rank_what_they_have_not_seen(model, least):
    space = small_mobilenet_v3()
    features, x, y = told(space, 160)
    made = (
        GroupedGaussianProcess(groups=features.groups, numeric=features.numeric) if model == "gp" else RankingEnsemble()
    )
    predicted = made.fit(x[::2], y[::2]).predict(x[1::2])
    assert spearmanr(predicted.mean, y[1::2]).statistic > least
    assert (predicted.std > 0).all()


@pytest.mark.parametrize("model", ["gp", "ensemble"])
def test_what_candidates_have_in_common_is_a_covariance(model):
    features, x, y = told(small_mobilenet_v3(), 60)
    made = (
        GroupedGaussianProcess(groups=features.groups, numeric=features.numeric) if model == "gp" else RankingEnsemble()
    )
    posterior = made.fit(x[:40], y[:40]).posterior(x[40:])
    covariance = np.stack([posterior.covariance(row) for row in range(len(x) - 40)])
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-9 * covariance.max())
    assert np.linalg.eigvalsh(covariance).min() > -1e-6 * covariance.max()
    assert (np.diag(covariance) <= posterior.std**2 * (1 + 1e-6)).all()


def test_to_pretend_that_candidates_are_known_leaves_what_a_model_that_knows_them_believes():
    features, x, y = told(small_mobilenet_v3(), 60)
    model = of_kind("gp", features).fit(x[:40], y[:40])
    posterior = model.posterior(x[40:])
    belief = Belief(posterior, Warp.of(y))
    for row in (3, 7):
        belief.choose(row)
    covariance = np.stack([posterior.covariance(row) for row in range(len(x) - 40)])
    known, rest = [3, 7], [0, 1, 5]
    noisy = covariance[np.ix_(known, known)] + posterior.residual * np.eye(2)
    across = covariance[np.ix_(rest, known)]
    left = covariance[np.ix_(rest, rest)] - across @ np.linalg.solve(noisy, across.T)
    np.testing.assert_allclose(belief.variance[rest], np.diag(left) + posterior.residual, rtol=1e-6)


def test_known_errors_move_targets_towards_what_the_others_say():
    features, x, y = told(small_mobilenet_v3(), 120)
    generator = np.random.default_rng(1)
    errors = np.where(np.arange(len(y)) % 3 == 0, y.std(), 0.0)
    noisy = y + errors * generator.normal(size=len(y))
    model = of_kind("gp", features).fit(x, noisy, errors**2)
    denoised = model.denoised(errors**2)
    loud = errors > 0
    np.testing.assert_allclose(denoised[~loud], y[~loud], atol=1e-6 * y.std())
    assert np.abs(denoised - y)[loud].mean() < 0.5 * np.abs(noisy - y)[loud].mean()


def test_wrong_groups_are_refused():
    with pytest.raises(ValueError, match="groups names 2 columns; the features have 3"):
        GroupedGaussianProcess(groups=(0, 0)).fit(np.ones((4, 3)), np.ones(4))
    with pytest.raises(ValueError, match="members is 1"):
        RankingEnsemble(members=1)


def test_the_density_of_targets_is_that_of_the_normal_distribution_of_the_model():
    features, x, y = told(small_mobilenet_v3(), 30)
    model, variances = of_kind("gp", features), np.full(len(y), 0.01 * y.var())
    for _ in range(2):  # with the parameters a fit starts from, and with those it found
        posterior = multivariate_normal(
            np.full(len(y), y.mean()), prior_covariance(model, features, x, y) + np.diag(variances)
        )
        assert model.log_density(x, y, variances) == pytest.approx(posterior.logpdf(y), rel=1e-5)
        model.fit(x, y, variances)


def prior_covariance(model, features, x, y):
    numeric = np.isin(np.arange(features.groups.max() + 1), features.numeric)
    linear, smooth, *relevance, noise = np.exp(model._start(numeric))
    centred = (x - x.mean(0)) * np.sqrt(np.array(relevance)[features.groups])
    kernel = linear * centred @ centred.T + smooth * np.exp(-(cdist(centred, centred) ** 2))
    return y.var() * (kernel + noise * np.eye(len(y)))


def test_failures_far_off_do_not_hide_what_differs_among_the_good():
    losses = np.array([-94.0, -93.0, -92.0, -91.0, -90.0, -10.0])
    for warp in Warp.candidates(losses):
        z = warp(losses)
        np.testing.assert_allclose(warp.back(z), losses)
        step = 1e-6 * warp.extent
        np.testing.assert_allclose(warp.slope(losses), (warp(losses + step) - warp(losses - step)) / (2 * step), 1e-6)
    bent, *_, straight = (warp(losses) for warp in Warp.candidates(losses))
    assert bent[-1] - bent[-2] < 3 * (bent[-2] - bent[0])
    np.testing.assert_allclose(np.diff(straight[:5]), np.diff(straight[:5])[0], rtol=0.2)
    assert np.isfinite(Warp.of(np.ones(5))(np.array([-1e9, 0.0, 1.0, 1e9]))).all()


@pytest.mark.parametrize(("bend", "share"), [(np.exp, 0.3), (np.positive, 10.0)])
def test_the_scale_on_which_losses_are_the_likeliest_is_found(bend, share):
    features, x, y = told(small_mobilenet_v3(), 100)
    losses = bend(1.5 * (y - y.mean()) / y.std())
    found = likeliest(of_kind("gp", features).fit(x, y), x, losses, np.zeros(len(y)))
    assert found == Warp.of(losses, share)


# ---- features and candidates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [small_mobilenet_v3, ofa_mobilenet_v3, nasbench101, bits])
def test_features_differ_where_architectures_do(make):
    space = make()
    space = make()
    encodings = np.unique(space.sample_encodings(60, np.random.default_rng(1)).astype(np.int64), axis=0)
    features = Features(space, np.random.default_rng(0))
    x = features(encodings)
    assert len(np.unique(x, axis=0)) == len(encodings)
    assert x.shape[1] == len(features.groups)
    choices = x[:, : np.flatnonzero(features.groups == min(features.numeric))[0]]
    distances = ((choices[0] - choices[1:]) ** 2).sum(1)
    active = space.active(encodings)
    differing = ((encodings != encodings[0]) | (active != active[0])).sum(1)[1:]
    assert (distances <= differing + 1e-9).all()
    assert (distances >= differing / 2 - 1e-9).all()


def test_further_columns_are_seen_and_may_be_missing():
    space = bits(8)

    def proxy(encodings):
        return np.where(encodings[:, 0] == 1, np.nan, encodings @ 2.0 ** np.arange(8))

    plain = Features(space, np.random.default_rng(0))
    features = Features(space, np.random.default_rng(0), [proxy])
    x = features(space.sample_encodings(50, np.random.default_rng(0)))
    assert np.isfinite(x).all()
    assert len(features.numeric) == len(plain.numeric) + 1


def test_candidates_are_found_within_a_limit_that_few_keep():
    space = ofa_mobilenet_v3()
    least = float(space.costs([space.smallest()])["macs"][0])

    def violation(encodings):
        return np.maximum(0, space.costs(encodings)["macs"] / (1.1 * least) - 1)

    found = Candidates(space, violation).random(20, np.random.default_rng(0), set())
    assert len({key(row) for row in found}) == 20
    assert (violation(found) <= 0).all()
