"""Ridge, Gaussian process and perceptrons against what they must be; all predictors on published scores."""

import numpy as np
import pytest

from nas.predictors import MLP, GaussianProcess, Ridge


def linear(rows, columns, noise, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(3.0, 2.0, (rows, columns))
    return x, 5 + x @ generator.normal(size=columns) + noise * generator.normal(size=rows)


@pytest.mark.parametrize("columns", [4, 50])
def test_ridge_equals_its_closed_form(columns):
    x, y = linear(30, columns, noise=0.5)
    new = np.random.default_rng(1).normal(3.0, 2.0, (7, columns))
    z, z_new = (x - x.mean(0)) / x.std(0), (new - x.mean(0)) / x.std(0)
    weights = np.linalg.solve(z.T @ z + 0.2 * 30 * np.eye(columns), z.T @ (y - y.mean()))
    predicted = Ridge(penalties=(0.2,)).fit(x, y).predict(new)
    assert np.allclose(predicted.mean, y.mean() + z_new @ weights)
    # the spread is the posterior's: noise and what the penalised rows leave open
    inverse = np.linalg.inv(z.T @ z + 0.2 * 30 * np.eye(columns))
    leverage = 1 / 30 + np.einsum("mf,fg,mg->m", z_new, inverse, z_new)
    assert np.ptp(predicted.std / np.sqrt(1 + leverage)) < 1e-9


def test_ridge_takes_the_penalty_that_leaving_one_out_prefers():
    x, y = linear(25, 12, noise=3.0)
    penalties = (1e-4, 1e-2, 1.0, 100.0)

    def left_out(penalty):
        errors = []
        z = (x - x.mean(0)) / x.std(0)
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            centred, mean = z[rest] - z[rest].mean(0), y[rest].mean()
            weights = np.linalg.solve(centred.T @ centred + penalty * len(x) * np.eye(12), centred.T @ (y[rest] - mean))
            errors.append(y[i] - mean - (z[i] - z[rest].mean(0)) @ weights)
        return np.mean(np.square(errors))

    best = min(penalties, key=left_out)
    assert 1e-4 < best < 100
    chosen = Ridge(penalties=penalties).fit(x, y).predict(x).mean
    assert np.array_equal(chosen, Ridge(penalties=(best,)).fit(x, y).predict(x).mean)


def test_std_of_ridge_is_the_noise_and_grows_outside():
    x, y = linear(400, 5, noise=0.5)
    fitted = Ridge().fit(x, y)
    assert fitted.predict(x).std == pytest.approx(0.5, rel=0.15)
    assert fitted.predict(x.mean(0, keepdims=True) + 300).std[0] > 2 * fitted.predict(x).std.max()


@pytest.mark.parametrize("kernel", ["matern", "rbf"])
def test_gaussian_process_interpolates_and_doubts_far_away(kernel):
    x = np.linspace(0, 10, 25)[:, None]
    fitted = GaussianProcess(kernel=kernel).fit(x, 90 + np.sin(x[:, 0]))
    between = x[:-1] + np.diff(x, axis=0) / 2
    assert np.abs(fitted.predict(x).mean - 90 - np.sin(x[:, 0])).max() < 1e-3
    assert np.abs(fitted.predict(between).mean - 90 - np.sin(between[:, 0])).max() < 0.03
    assert fitted.predict(np.array([[25.0]])).std[0] > 10 * fitted.predict(between).std.max()


def test_gaussian_process_of_pure_noise_says_so():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 3)), generator.normal(0, 2.0, 60)
    assert GaussianProcess().fit(x, y).predict(generator.normal(size=(20, 3))).std.mean() == pytest.approx(2, rel=0.3)


def test_perceptrons_learn_what_is_not_linear_and_their_spread_grows_outside():
    generator = np.random.default_rng(0)
    x = generator.uniform(-2, 2, (200, 2))
    fitted = MLP().fit(x[:150], (x[:150] ** 2).sum(1))
    error = fitted.predict(x[150:]).mean - (x[150:] ** 2).sum(1)
    assert np.abs(error).mean() < 0.25
    assert fitted.predict(np.full((1, 2), 8.0)).std[0] > 5 * fitted.predict(x[150:]).std.mean()
    assert MLP(members=1, epochs=1).fit(x, x[:, 0]).predict(x).std is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ridge(penalties=(0.0,)), "penalties is"),
        (lambda: GaussianProcess(kernel="linear"), "kernel is 'linear'; allowed: matern, rbf"),
        (lambda: GaussianProcess(restarts=-1), "restarts is -1"),
        (lambda: MLP(hidden=()), "hidden is"),
        (lambda: MLP(members=0), "members is 0; it must be at least 1"),
        (lambda: MLP(lr=0.0), "lr is 0.0"),
    ],
)
def test_wrong_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
