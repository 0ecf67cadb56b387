"""Gaussian process regression on groups of features, each with a relevance that is learned under a prior.

Paper: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1 and equation 5.9.
Differs: the kernel, a linear one and an exponential of the squared distance, which for one-hot groups falls by a factor
with every decision that differs. The relevance of a group scales its part in both, with a log-normal prior, so that a
few dozen rows suffice for as many groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import scipy  # its parts are loaded when they are used

from nas.predictors.predictor import Prediction, Standardiser, feature_rows, fitted, training_data

_JITTER = 1e-8
_BATCH_ROWS = 4096
_AMPLITUDES = 2
_LOG_NOISE_FLOOR = np.log(1e-5)


class Posterior(NamedTuple):
    """A belief about M rows.

    Attributes:
        mean: Expected target [M].
        std: Standard deviation of what the features determine [M], without noise.
        factor: [R, M]; the covariance of rows i and j is `prior(i)[j]` less the product of columns i and j.
        prior: Prior covariances [M] of row i with all rows; None where there is only the factor, whose products are
            then added.
        residual: Variance that the features do not explain: each row has its own part of it, which is not a measurement
            error.
    """

    mean: np.ndarray
    std: np.ndarray
    factor: np.ndarray
    prior: "_PriorRows | None"
    residual: float = 0.0

    def covariance(self, row: int) -> np.ndarray:
        """Return the covariance [M] of one row with all."""
        common = self.factor[:, row] @ self.factor
        return common if self.prior is None else self.prior(row) - common


class _PriorRows:
    def __init__(self, kernel: "_Kernel", features: np.ndarray, scale: float) -> None:
        self.kernel, self.features, self.scale = kernel, features, scale

    def __call__(self, row: int) -> np.ndarray:
        return self.scale**2 * self.kernel(self.features[row : row + 1], self.features)[0]


class _Kernel:
    """The sum of both kernels with given parameters, on centred features.

    Args:
        parameters: Logarithms of two amplitudes, of the relevance of each group, and of the noise variance.
        groups: Group of every column [F].
    """

    def __init__(self, parameters: np.ndarray, groups: np.ndarray) -> None:
        self.amplitudes = np.exp(parameters[:_AMPLITUDES])
        self.noise = float(np.exp(parameters[-1]))
        self.relevance = np.exp(parameters[_AMPLITUDES:-1])
        self.scale = np.sqrt(self.relevance[groups])

    def __call__(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the kernel [M, N] of rows [M, F] and [N, F]."""
        linear, smooth = self.amplitudes
        a, b = left * self.scale, right * self.scale
        product = a @ b.T
        return linear * product + smooth * np.exp(-_squared(a, b, product))

    def diagonal(self, features: np.ndarray) -> np.ndarray:
        linear, smooth = self.amplitudes
        return linear * ((features * self.scale) ** 2).sum(1) + smooth


class _Fitted(NamedTuple):
    centre: np.ndarray
    targets: Standardiser
    kernel: _Kernel
    features: np.ndarray
    lower: np.ndarray
    weights: np.ndarray


@dataclass(kw_only=True)
class GroupedGaussianProcess:
    """A predictor that knows which columns belong together, for up to a few thousand rows.

    The standard deviation is that of what the features determine, without the noise. Fitted again, it starts from the
    parameters it found before.

    Attributes:
        groups: Group of every column, 0 to G-1; None makes every column a numeric group.
        numeric: The groups that are numbers; others are one-hot, scaled so that two different choices are 1 apart.
        iterations: Steps of the first maximisation of the likelihood; later ones take a third of it.
        likelihood_rows: Most rows of which the likelihood is computed; more rows are sampled.
        seed: Seed of that draw.
    """

    groups: Sequence[int] | None = None
    numeric: Sequence[int] = ()
    iterations: int = 40
    likelihood_rows: int = 200
    seed: int = 0
    parameters: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)
    _state: _Fitted | None = field(default=None, init=False, repr=False, compare=False)

    def fit(self, features: np.ndarray, targets: np.ndarray, variances: np.ndarray | None = None) -> Self:
        """Learn targets [N] from features [N, F]; `variances` [N] of known errors of the targets add to the noise."""
        x, y = training_data(features, targets)
        groups, numeric = self._grouping(x.shape[1])
        centre, scaled_y = x.mean(0), Standardiser.of(y)
        x, z = x - centre, scaled_y(y)
        known = np.zeros(len(z)) if variances is None else np.asarray(variances) / float(scaled_y.scale) ** 2
        self._maximise(x, z, known, (groups, numeric))
        assert self.parameters is not None
        kernel = _Kernel(self.parameters, groups)
        lower = _factor(kernel, x, known)
        weights = scipy.linalg.cho_solve((lower, True), z, check_finite=False)
        self._state = _Fitted(centre, scaled_y, kernel, x, lower, weights)
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        state = fitted(self._state)
        x = feature_rows(features, columns=len(state.centre))
        parts = [self.posterior(x[start : start + _BATCH_ROWS]) for start in range(0, len(x), _BATCH_ROWS)]
        return Prediction(
            np.concatenate([np.zeros(0), *(part.mean for part in parts)]),
            np.concatenate([np.zeros(0), *(part.std for part in parts)]),
        )

    def posterior(self, features: np.ndarray) -> Posterior:
        """Return what is believed of features [M, F], together."""
        state = fitted(self._state)
        x = feature_rows(features, columns=len(state.centre)) - state.centre
        scale = float(state.targets.scale)
        cross = state.kernel(state.features, x)
        factor = scipy.linalg.solve_triangular(state.lower, cross, lower=True, check_finite=False)
        variance = np.maximum(state.kernel.diagonal(x) - (factor**2).sum(0), 1e-12)
        mean = state.targets.mean + scale * (state.weights @ cross)
        prior = _PriorRows(state.kernel, x, scale)
        return Posterior(mean, scale * np.sqrt(variance), scale * factor, prior, scale**2 * state.kernel.noise)

    def log_density(self, features: np.ndarray, targets: np.ndarray, variances: np.ndarray) -> float:
        """Return the natural logarithm of the density of targets [N] with known error `variances` [N].

        It uses the parameters that were found before, or those that a first fit starts from.
        """
        x, y = training_data(features, targets)
        groups, numeric = self._grouping(x.shape[1])
        scaled_y = Standardiser.of(y)
        known = np.asarray(variances) / float(scaled_y.scale) ** 2
        kernel = _Kernel(self._start(numeric), groups)
        lower = _factor(kernel, x - x.mean(0), known)
        white = scipy.linalg.solve_triangular(lower, scaled_y(y), lower=True, check_finite=False)
        spread = np.log(np.diag(lower)).sum() + len(y) * np.log(float(scaled_y.scale) * np.sqrt(2 * np.pi))
        return float(-0.5 * white @ white - spread)

    def denoised(self, variances: np.ndarray) -> np.ndarray:
        """Return the targets [N] that were fitted, freed of their known errors as far as the others tell."""
        state = fitted(self._state)
        scale = float(state.targets.scale)
        # with A the covariance of all targets, A^-1 z are the weights, and z less its expected error is z - V A^-1 z
        z = state.lower @ (state.lower.T @ state.weights) - np.asarray(variances) / scale**2 * state.weights
        return state.targets.mean + scale * z

    def _grouping(self, columns: int) -> tuple[np.ndarray, np.ndarray]:
        if self.groups is None:
            return np.arange(columns), np.ones(columns, dtype=bool)
        groups = np.asarray(self.groups)
        if groups.shape != (columns,):
            raise ValueError(f"groups names {len(groups)} columns; the features have {columns}")
        return groups, np.isin(np.arange(groups.max() + 1), self.numeric)

    def _maximise(
        self, x: np.ndarray, z: np.ndarray, known: np.ndarray, grouping: tuple[np.ndarray, np.ndarray]
    ) -> None:
        """Find the parameters of the largest posterior density."""
        if len(x) > self.likelihood_rows:
            rows = np.random.default_rng([self.seed, len(x)]).permutation(len(x))[: self.likelihood_rows]
            x, z, known = x[rows], z[rows], known[rows]
        density = _Density(x, z, known, grouping)
        start = self._start(grouping[1])
        steps = max(1, self.iterations // 3) if start is self.parameters else self.iterations
        found = scipy.optimize.minimize(
            density, start, jac=True, method="L-BFGS-B", bounds=density.bounds, options={"maxiter": steps}
        )
        self.parameters = found.x

    def _start(self, numeric: np.ndarray) -> np.ndarray:
        """Return the parameters found before; the most likely beforehand where there are none."""
        centre = _centre(numeric)
        return centre if self.parameters is None or len(self.parameters) != len(centre) else self.parameters


def _centre(numeric: np.ndarray) -> np.ndarray:
    """Return the most likely parameters before anything was seen, of groups that are numeric or not [G]."""
    others = max(1, int((~numeric).sum()))
    relevance = np.where(numeric, np.log(0.1), np.log(0.5 / others))
    return np.concatenate([np.log([2.0, 0.7]), relevance, [np.log(0.1)]])


def _factor(kernel: _Kernel, x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the lower Cholesky factor [N, N] of the covariance of centred rows [N, F] with errors `known` [N]."""
    covariance = kernel(x, x)
    covariance[np.diag_indices(len(x))] += kernel.noise + known + _JITTER
    return scipy.linalg.cholesky(covariance, lower=True, check_finite=False)


class _Density:
    """Negative log of likelihood times prior, and its gradient, as a function of the parameters."""

    def __init__(
        self, x: np.ndarray, z: np.ndarray, known: np.ndarray, grouping: tuple[np.ndarray, np.ndarray]
    ) -> None:
        self.z, self.known = z, known
        self.groups, self.numeric = grouping
        count = len(self.numeric)
        columns = [x[:, self.groups == group] for group in range(count)]
        self.products = np.stack([part @ part.T for part in columns])
        self.norms = np.stack([(part**2).sum(1) for part in columns])
        self.centre = _centre(self.numeric)
        self.spread = np.concatenate([np.full(_AMPLITUDES, 1.5), np.full(count, 1.2), [1.0]])
        lowest = np.concatenate([self.centre[:-1] - 7, [_LOG_NOISE_FLOOR]])
        self.bounds = list(zip(lowest, np.append(self.centre[:-1] + 5, np.log(2.0))))

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        amplitudes, noise = np.exp(parameters[:_AMPLITUDES]), np.exp(parameters[-1])
        relevance = np.exp(parameters[_AMPLITUDES:-1])
        linear = np.tensordot(relevance, self.products, axes=1)
        smooth = np.exp(-self._distances(relevance, linear))
        parts = [linear, smooth]
        covariance = sum(amplitude * part for amplitude, part in zip(amplitudes, parts))
        covariance[np.diag_indices(len(self.z))] += noise + self.known + _JITTER
        try:
            lower = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(parameters)
        inverse = scipy.linalg.cho_solve((lower, True), np.eye(len(self.z)), check_finite=False)
        weights = inverse @ self.z
        off = (parameters - self.centre) / self.spread
        value = 0.5 * self.z @ weights + np.log(np.diag(lower)).sum() + 0.5 * off @ off
        pull = 0.5 * (inverse - np.outer(weights, weights))
        gradient = np.concatenate(
            [
                [amplitude * np.vdot(pull, part) for amplitude, part in zip(amplitudes, parts)],
                relevance * self._by_group(pull, amplitudes, smooth),
                [noise * np.trace(pull)],
            ]
        )
        return float(value), gradient + off / self.spread

    def _by_group(self, pull: np.ndarray, amplitudes: np.ndarray, smooth: np.ndarray) -> np.ndarray:
        """Return the derivative of the likelihood by the relevance of each group [G]."""
        both = amplitudes[1] * pull * smooth
        flat = self.products.reshape(len(self.products), -1)
        # a group's squared distances are norms of both rows less twice their product
        return flat @ (amplitudes[0] * pull + 2 * both).ravel() - 2 * self.norms @ both.sum(1)

    def _distances(self, relevance: np.ndarray, product: np.ndarray) -> np.ndarray:
        norms = relevance @ self.norms
        return np.maximum(norms[:, None] + norms[None] - 2 * product, 0.0)


def _squared(left: np.ndarray, right: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Return squared distances [M, N] of rows whose inner products are known."""
    return np.maximum((left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * product, 0.0)
