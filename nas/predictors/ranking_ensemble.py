"""Bagged rankers: linear models and trees that learn the order of the targets.

Paper: Breiman, Bagging predictors, Machine Learning 24(2), 1996; Geurts et al., Extremely randomized trees, Machine
Learning 63(1), 2006.
Differs: members learn normal scores of the ranks of the targets, so that no outlier bends them; a member is the mean of
a ridge regression and a tree on the same resample. Mean scores are taken back to targets through the sorted targets.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np

from nas.predictors.grouped_gaussian_process import Posterior
from nas.predictors.predictor import Prediction, feature_rows, fitted, training_data
from nas.predictors.ridge import Ridge

_PENALTIES = tuple(10.0 ** (exponent / 2) for exponent in range(-8, 3))
_LEAST_STD = 0.02  # least deviation of a normal score: members that all agree may still be wrong together


class _Fitted(NamedTuple):
    members: list[tuple[Ridge, Any]]
    targets: np.ndarray
    scores: np.ndarray
    levels: np.ndarray
    columns: int


@dataclass(kw_only=True)
class RankingEnsemble:
    """A predictor of the order first and of the value second; the spread of its members is the uncertainty.

    Attributes:
        members: Number of members, each on its own resample of the rows.
        least_rows: Least rows of a leaf of a tree.
        seed: Seed of resamples and trees.
    """

    members: int = 16
    least_rows: int = 2
    seed: int = 0
    _state: _Fitted | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.members < 2:
            raise ValueError(f"members is {self.members}; a spread needs at least 2")
        if self.least_rows < 1:
            raise ValueError(f"least_rows is {self.least_rows}; it must be at least 1")

    def fit(self, features: np.ndarray, targets: np.ndarray, variances: np.ndarray | None = None) -> Self:
        """Learn targets [N]; rows of known `variances` [N] are drawn the less, the larger these are."""
        from scipy.special import ndtri  # takes long to import
        from scipy.stats import rankdata
        from sklearn.tree import ExtraTreeRegressor

        x, y = training_data(features, targets)
        scores = ndtri((rankdata(y) - 0.5) / len(y))
        generator = np.random.default_rng(self.seed)
        known = np.zeros(len(y)) if variances is None else np.asarray(variances)
        weights = 1 / (1 + known / max(float(y.var()), 1e-30))
        found = []
        for _ in range(self.members):
            rows = generator.choice(len(y), size=len(y), p=weights / weights.sum())
            tree = ExtraTreeRegressor(min_samples_leaf=self.least_rows, random_state=int(generator.integers(2**31)))
            found.append((Ridge(penalties=_PENALTIES).fit(x[rows], scores[rows]), tree.fit(x[rows], scores[rows])))
        levels, first = np.unique(scores, return_index=True)
        self._state = _Fitted(found, y, levels, y[first], x.shape[1])
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        posterior = self.posterior(features)
        return Prediction(posterior.mean, posterior.std)

    def posterior(self, features: np.ndarray) -> Posterior:
        """Return what the members say of features [M, F], together."""
        state = fitted(self._state)
        x = feature_rows(features, columns=state.columns)
        if len(x) == 0:
            return Posterior(np.zeros(0), np.zeros(0), np.zeros((self.members, 0)), None)
        said = np.stack([(line.predict(x).mean + tree.predict(x)) / 2 for line, tree in state.members])
        mean = said.mean(0)
        steepness = self._values(mean + 0.5) - self._values(mean - 0.5)
        factor = (said - mean) / (self.members - 1) ** 0.5 * steepness
        std = np.sqrt((factor**2).sum(0) + (_LEAST_STD * steepness) ** 2)
        return Posterior(self._values(mean), np.maximum(std, 1e-9), factor, None)

    def log_density(self, features: np.ndarray, targets: np.ndarray, variances: np.ndarray) -> float:
        """Return that of normal targets [N] around their mean: members look at ranks, which no scale changes."""
        return -len(targets) * float(np.log(max(float(np.std(targets)), 1e-30)))

    def denoised(self, variances: np.ndarray) -> np.ndarray:
        """Return the targets [N] that were fitted: those of larger error than most are taken to the middle."""
        state = fitted(self._state)
        spread = max(float(state.targets.var()), 1e-30)
        share = np.asarray(variances) / (np.asarray(variances) + spread)
        return state.targets + share * (float(np.median(state.targets)) - state.targets)

    def _values(self, scores: np.ndarray) -> np.ndarray:
        """Return targets [M] of normal scores [M]; beyond the ends they go on as steeply as towards the median."""
        state = fitted(self._state)
        inside = np.interp(scores, state.scores, state.levels)
        low, high = float(state.scores[0]), float(state.scores[-1])
        middle = float(np.interp(0.0, state.scores, state.levels))
        below = (middle - float(state.levels[0])) / max(-low, 1e-9)
        above = (float(state.levels[-1]) - middle) / max(high, 1e-9)
        return inside + np.minimum(scores - low, 0) * below + np.maximum(scores - high, 0) * above
