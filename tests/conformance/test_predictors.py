"""What every predictor of the catalogue promises."""

import pickle
import re

import numpy as np
import pytest

from service import catalogue

OPTIONS = {"parzc": {"width": 16, "depth": 1, "epochs": 30, "lr": 3e-3, "scaling": "column"}, "mlp": {"epochs": 30}}
OPTIONS["cqap"] = {"hidden": (32, 32, 32), "epochs": 30, "lr": 3e-3}


@pytest.fixture(params=list(catalogue.PREDICTORS))
def predictor(request):
    return _made(request.param)


def _made(name, seed=0):
    return catalogue.resolve("predictor", name)(seed=seed, **OPTIONS.get(name, {}))


def _data(rows=40, columns=6, seed=0):
    """Features and a noisy linear target, around 90 as accuracies are."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, columns))
    return x, 90 + x @ np.arange(1, columns + 1) + 0.1 * generator.normal(size=rows)


def test_predictions_have_the_shape_of_the_rows_and_no_negative_std(predictor):
    x, y = _data()
    assert predictor.fit(x, y) is predictor
    for rows in (0, 1, 17):
        prediction = predictor.predict(x[:rows])
        assert prediction.mean.shape == (rows,)
        assert np.isfinite(prediction.mean).all()
        assert prediction.mean.dtype == np.float64
        if prediction.std is not None:
            assert prediction.std.shape == (rows,)
            assert (prediction.std >= 0).all()


def test_unseen_rows_are_ranked_far_better_than_by_chance(predictor):
    x, y = _data(rows=160)
    ranks = predictor.fit(x[:80], y[:80]).predict(x[80:]).mean.argsort().argsort()
    assert np.corrcoef(ranks, y[80:].argsort().argsort())[0, 1] > 0.6


@pytest.mark.parametrize("name", catalogue.PREDICTORS)
def test_same_configuration_and_data_predict_the_same_whatever_was_fitted_before(name):
    x, y = _data()
    once = _made(name).fit(x, y).predict(x).mean
    again = _made(name).fit(x[:20, :3], -y[:20]).fit(x, y).predict(x).mean
    assert np.array_equal(once, again)


@pytest.mark.parametrize("name", catalogue.PREDICTORS)
def test_global_randomness_is_neither_used_nor_moved(name):
    import torch

    x, y = _data()
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what is looked at
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    once = _made(name).fit(x, y).predict(x).mean
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    torch.manual_seed(2)
    assert np.array_equal(once, _made(name).fit(x, y).predict(x).mean)


def test_data_are_not_changed_and_a_row_does_not_depend_on_its_neighbours(predictor):
    x, y = _data()
    kept = x.copy(), y.copy()
    whole = predictor.fit(x, y).predict(x).mean
    assert np.array_equal(x, kept[0])
    assert np.array_equal(y, kept[1])
    order = np.random.default_rng(3).permutation(len(x))
    assert np.allclose(predictor.predict(x[order]).mean, whole[order], rtol=1e-4, atol=1e-5)
    assert np.allclose(predictor.predict(x[:3]).mean, whole[:3], rtol=1e-4, atol=1e-5)


def test_a_fitted_predictor_can_be_stored(predictor):
    x, y = _data()
    predictor.fit(x, y)
    assert np.array_equal(pickle.loads(pickle.dumps(predictor)).predict(x).mean, predictor.predict(x).mean)


def test_constant_columns_do_no_harm(predictor):
    x, y = _data()
    x[:, 2] = 0.1
    assert np.isfinite(predictor.fit(x, y).predict(x).mean).all()


@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        (np.zeros(5), np.arange(5.0), r"features have shape [5]"),
        (np.zeros((5, 0)), np.arange(5.0), r"features have shape [5, 0]"),
        (np.zeros((5, 2)), np.arange(4.0), r"targets have shape [4]; 5 rows"),
        (np.zeros((5, 2)), np.zeros((5, 1)), r"targets have shape [5, 1]; 5 rows"),
        (np.zeros((2, 2)), np.arange(2.0), r"2 rows are too few to fit; at least 3"),
        (np.zeros((5, 2)), np.array([0, 1, np.nan, 2, 3]), r"targets: 1 of 5 are not finite, the first is nan at 2"),
        (np.array([[1.0, 2], [np.inf, 1], [1, 1]]), np.arange(3.0), r"the first is inf in row 1, column 0"),
    ],
)
def test_wrong_training_data_are_named(predictor, features, targets, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        predictor.fit(features, targets)


def test_wrong_rows_and_a_wrong_order_of_calls_are_named(predictor):
    x, y = _data()
    with pytest.raises(RuntimeError, match="predict was called before fit"):
        predictor.predict(x)
    predictor.fit(x, y)
    with pytest.raises(ValueError, match="features have 5 columns; the predictor was fitted with 6"):
        predictor.predict(x[:, :5])
    with pytest.raises(ValueError, match="not finite"):
        predictor.predict(np.full((1, 6), -np.inf))


@pytest.mark.parametrize("name", [name for name in catalogue.PREDICTORS if name != "parzc"])
def test_missing_values_are_refused(name):
    x, y = _data()
    x[4, 1] = np.nan
    with pytest.raises(ValueError, match="features: 1 values are not finite, the first is nan in row 4, column 1"):
        _made(name).fit(x, y)
