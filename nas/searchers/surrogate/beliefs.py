"""Beliefs about the objectives of candidates that were not evaluated."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from nas.predictors.grouped_gaussian_process import Posterior
from nas.searchers.surrogate.gain import Outcomes
from nas.searchers.surrogate.warp import Warp

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_LEAST_ROWS = 3

Exact = Callable[[np.ndarray], np.ndarray]
"""Encodings [N, D] -> losses [N]."""


class Model(Protocol):
    """A predictor that also says how candidates correlate."""

    def fit(self, features: np.ndarray, targets: np.ndarray, variances: np.ndarray | None = None) -> Any: ...

    def posterior(self, features: np.ndarray) -> Posterior: ...

    def denoised(self, variances: np.ndarray) -> np.ndarray: ...

    def log_density(self, features: np.ndarray, targets: np.ndarray, variances: np.ndarray) -> float:
        """Return how likely the targets [N] are before they are fitted, as a natural logarithm."""


class Belief:
    """A belief about one objective, for M candidates; every chosen candidate counts as known.

    Args:
        posterior: Posterior on the warped scale.
        warp: The warped scale.
    """

    def __init__(self, posterior: Posterior, warp: Warp) -> None:
        self.posterior, self.warp = posterior, warp
        self.variance = posterior.std**2 + posterior.residual
        self._chosen: list[np.ndarray] = []

    def outcomes(self, widening: float = 1.0) -> Outcomes:
        std = np.sqrt(self.variance) * widening
        return Outcomes(self.warp.back(self.posterior.mean[:, None] + std[:, None] * _NODES), _WEIGHTS)

    def expected(self) -> np.ndarray:
        """Return the middle of what may come out [M]."""
        return self.warp.back(self.posterior.mean)

    def hoped(self, deviations: float = 1.0) -> np.ndarray:
        """Return what comes out with so many standard deviations of luck [M]."""
        return self.warp.back(self.posterior.mean - deviations * np.sqrt(self.variance))

    def below(self, limit: float) -> np.ndarray:
        """Return the probability [M] that it does not exceed a limit."""
        return _below(float(self.warp(np.array(limit))), self.posterior.mean, np.sqrt(self.variance))

    def choose(self, row: int) -> None:
        """Go on as if the candidate of this row had come out as expected."""
        common = self.posterior.covariance(row)
        for direction in self._chosen:
            common = common - direction[row] * direction
        if common[row] <= 1e-12:
            return
        direction = common / np.sqrt(common[row] + self.posterior.residual)
        self._chosen.append(direction)
        self.variance = np.maximum(self.variance - direction**2, 1e-12)


class Certainty:
    """An objective that is computed.

    Args:
        values: Losses [M].
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.asarray(values, dtype=float)

    def outcomes(self, widening: float = 1.0) -> Outcomes:
        return Outcomes(self.values[:, None], np.ones(1))

    def expected(self) -> np.ndarray:
        return self.values

    def hoped(self, deviations: float = 1.0) -> np.ndarray:
        return self.values

    def below(self, limit: float) -> np.ndarray:
        return (self.values <= limit).astype(float)

    def choose(self, row: int) -> None:
        """Learn nothing."""


class Beliefs(NamedTuple):
    """Beliefs about all objectives of M candidates, and the probability [M] that they keep the limits."""

    objectives: Sequence[Belief | Certainty]
    feasible: np.ndarray

    def expected(self) -> np.ndarray:
        return np.stack([belief.expected() for belief in self.objectives], axis=1)

    def hoped(self) -> np.ndarray:
        return np.stack([belief.hoped() for belief in self.objectives], axis=1)


class Models:
    """A model of each objective that is not computed, and of how far limits on such are broken.

    Args:
        make: Makes a model.
        objectives: Number of objectives.
        exact: Index of an objective -> function that computes it.
        limits: Index of an objective -> the largest loss allowed; told violations are then not modelled where all
            that can be violated is among these.
    """

    def __init__(
        self, make: Callable[[], Model], objectives: int, exact: Mapping[int, Exact], limits: Mapping[int, float]
    ) -> None:
        self.exact, self.limits = dict(exact), dict(limits)
        self.models: dict[int, Model] = {k: make() for k in range(objectives) if k not in exact}
        self.warps: dict[int, Warp] = {}
        self._make = make
        self._violation: Model | None = None
        self.objectives = objectives

    @property
    def are_fitted(self) -> bool:
        return len(self.warps) == len(self.models)

    def fit(
        self, features: np.ndarray, losses: np.ndarray, violations: np.ndarray, errors: np.ndarray | None
    ) -> np.ndarray:
        """Learn; returns the losses [N, K], freed of their standard errors `errors` [N, K] as far as is known."""
        smoothed = losses.copy()
        for k, model in self.models.items():
            known = np.isfinite(losses[:, k])
            if known.sum() < _LEAST_ROWS:
                continue
            values = losses[known, k]
            known_errors = np.zeros(len(values)) if errors is None else errors[known, k]
            warp = self.warps[k] = likeliest(model, features[known], values, known_errors)
            variances = (known_errors * warp.slope(values)) ** 2
            model.fit(features[known], warp(values), variances)
            if errors is not None:
                smoothed[known, k] = warp.back(model.denoised(variances))
        self._fit_violation(features, violations)
        return smoothed

    def _fit_violation(self, features: np.ndarray, violations: np.ndarray) -> None:
        broken = violations > 0
        failed = np.isinf(violations)
        only_limits = bool(self.limits) and not failed.any()
        if not broken.any() or only_limits or len(violations) < _LEAST_ROWS:
            self._violation = None
            return
        far = np.where(failed, 0.0, violations)
        typical = float(np.median(far[broken & ~failed])) if (broken & ~failed).any() else 1.0
        graded = np.where(failed, 1.0, far / (far + typical))
        self._violation = self._violation or self._make()
        self._violation.fit(features, np.where(broken, 0.25 + graded, -0.5))

    def believe(self, encodings: np.ndarray, features: np.ndarray) -> Beliefs:
        """Return what is believed of canonical encodings [M, D] with features [M, F]."""
        found: list[Belief | Certainty] = []
        for k in range(self.objectives):
            if k in self.exact:
                found.append(Certainty(self.exact[k](encodings)))
            else:
                found.append(Belief(self.models[k].posterior(features), self.warps[k]))
        feasible = np.ones(len(encodings))
        for k, limit in self.limits.items():
            feasible = feasible * found[k].below(limit)
        if self._violation is not None:
            violation = self._violation.posterior(features)
            feasible = feasible * _below(0.0, violation.mean, violation.std)
        return Beliefs(found, feasible)


def likeliest(model: Model, features: np.ndarray, losses: np.ndarray, errors: np.ndarray) -> Warp:
    """Return the scale on which a model finds losses [N] of features [N, F] and standard errors [N] the likeliest."""

    def log_density(warp: Warp) -> float:
        slope = warp.slope(losses)
        return model.log_density(features, warp(losses), (errors * slope) ** 2) + float(np.log(slope).sum())

    return max(Warp.candidates(losses), key=log_density)


def _below(limit: float, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the probability [M] that normal quantities of means [M] and standard deviations [M] are below a limit."""
    from scipy.special import ndtr  # takes long to import

    return ndtr((limit - mean) / std)
