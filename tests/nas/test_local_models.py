"""Boosted trees and nearest rows."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.neighbors import KNeighborsRegressor

from nas.predictors.local_models import BoostedTrees, NearestRows


def data(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(n, 4)) * [1, 10, 100, 1]
    return x, np.sin(x[:, 0]) + x[:, 1] / 10


def test_known_rows_are_answered_with_their_own_targets_and_others_with_those_of_their_neighbours():
    x, y = data()
    model = NearestRows(count=3).fit(x[:40], y[:40])
    assert model.predict(x[:40]).mean == pytest.approx(y[:40], abs=1e-6)
    mean, scale = x[:40].mean(0), x[:40].std(0)
    expected = KNeighborsRegressor(3, weights="distance").fit((x[:40] - mean) / scale, y[:40])
    assert model.predict(x[40:]).mean == pytest.approx(expected.predict((x[40:] - mean) / scale), rel=1e-6)


def test_trees_are_those_of_scikit_learn():
    x, y = data()
    expected = GradientBoostingRegressor(
        n_estimators=20, max_depth=2, learning_rate=0.1, subsample=0.8, max_features=0.5, random_state=3
    ).fit(x[:40], y[:40])
    ours = BoostedTrees(trees=20, depth=2, lr=0.1, seed=3).fit(x[:40], y[:40])
    assert ours.predict(x[40:]).mean == pytest.approx(expected.predict(x[40:]))
    assert ours.predict(x[:0]).mean.shape == (0,)


@pytest.mark.parametrize(
    "make", [lambda: BoostedTrees(trees=0), lambda: BoostedTrees(lr=0), lambda: NearestRows(count=0)]
)
def test_bad_options_name_the_value(make):
    with pytest.raises(ValueError, match=r"must be above 0, got .*0"):
        make()
