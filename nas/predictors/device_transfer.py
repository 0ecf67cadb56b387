"""Latency on a new device, predicted from other devices and a few measurements of the new one.

What is predicted is the logarithm of the latency. The known devices are examples of what devices are like. The expected
latency of a new one is their mean, and a Gaussian process describes its departure from the mean: by the level, by how
steeply it follows the mean, along the departures of the others, smoothly along their principal components, and by the
features of the architecture (linear and smooth). The known devices teach how much of each to expect: each one in turn
plays the new device, and the variances under which the others explain it best are one hypothesis. A second hypothesis
is for devices of a new kind: the departure follows the features of the architecture and no other device. A third one
expects all of that and no departures of the others. Each is also tried with less and with more noise. The measurements
of the new device weight the hypotheses by their evidence, and predictions are the mixture of all.

Paper: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1 and equation 5.9; few-shot
transfer between devices, with which this competes, is HELP, arXiv 2106.08630.
Differs: not HELP's meta-learned network. Architectures to measure are chosen by greedy reduction of the posterior
variance; HELP draws them at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import scipy  # its parts are loaded when they are used

from nas.predictors.predictor import Prediction, Standardiser, feature_rows, fitted, training_data

MIN_DEVICES = 2
_PARTS = ("slope", "departures", "smooth", "linear", "one_by_one")
_CENTRE = np.log([0.1, 1.0, 0.01, 0.01, 0.01, 0.3, 0.01])  # variances of the parts, length of `smooth`, noise
_SPREAD = np.array([2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 3.0])
_OF_OTHERS = ("departures", "smooth")
_ABSENT = -20.0  # logarithm of a variance that is none
_STRANGE = np.array([0.0, _ABSENT, _ABSENT, 0.0, np.log(0.1), np.log(0.3), np.log(0.01)])
_LENGTH, _NOISE = len(_PARTS), len(_PARTS) + 1
_REACH = 7.0
_LEVEL_VARIANCE = 1.0
_JITTER = 1e-8
_LEAST_WEIGHT = 1e-2  # share of the best hypothesis; others only take time
_NOISE_FACTORS = (0.25, 1.0, 4.0, 16.0, 64.0)
_BATCH_ROWS = 1024


class _View(NamedTuple):
    """Architectures as the kernel sees them.

    Attributes:
        mean: Mean logarithm of the latency over the known devices, each less its level [M].
        departures: Departures of each known device from that mean [M, D].
        components: The first principal components [M, K].
        described: Scaled features of the architectures [M, F].
    """

    mean: np.ndarray
    departures: np.ndarray
    components: np.ndarray
    described: np.ndarray

    def rows(self, rows: np.ndarray) -> "_View":
        return _View(*(part[rows] for part in self))


@dataclass(frozen=True)
class _Known:
    """The common part of the known devices; makes a view of any row that has their latencies."""

    level: np.ndarray
    axes: np.ndarray
    described: Standardiser

    @classmethod
    def of(cls, log_ms: np.ndarray, described: np.ndarray, components: int) -> Self:
        level = log_ms.mean(0)
        centred = log_ms - level
        _, axes = np.linalg.eigh(centred.T @ centred)
        return cls(level, axes[:, ::-1][:, :components] / len(level) ** 0.5, Standardiser.of(described))

    def view(self, log_ms: np.ndarray, described: np.ndarray) -> _View:
        centred = log_ms - self.level
        mean = centred.mean(1)
        departures = (centred - mean[:, None]) / max(1, len(self.level) - 1) ** 0.5
        scaled = self.described(described) / max(1, described.shape[1]) ** 0.5
        return _View(mean, departures, centred @ self.axes, scaled)


class _Kernel:
    """The covariance of architectures [M, N], as a function of the parameters."""

    def __init__(self, left: _View, right: _View) -> None:
        self.squared = _squared(left.components, right.components)
        # scaled descriptions lie sqrt(2) apart on average
        apart = np.exp(-_squared(left.described, right.described))
        self.fixed = {
            "slope": np.outer(left.mean, right.mean),
            "departures": left.departures @ right.departures.T,
            "linear": left.described @ right.described.T,
            "one_by_one": apart if left.described.shape[1] else np.zeros_like(apart),
        }

    def parts(self, parameters: np.ndarray) -> list[np.ndarray]:
        """Return `_PARTS`, each of variance 1."""
        smooth = np.exp(self.squared * (-0.5 / np.exp(2 * parameters[_LENGTH])))
        return [smooth if name == "smooth" else self.fixed[name] for name in _PARTS]

    def __call__(self, parameters: np.ndarray) -> np.ndarray:
        total = np.full_like(self.squared, _LEVEL_VARIANCE)
        for amplitude, part in zip(np.exp(parameters[:_LENGTH]), self.parts(parameters)):
            total += amplitude * part
        return total


class _Likelihood:
    """Negative log of evidence times prior of the parameters, and its gradient."""

    def __init__(self, view: _View, log_ms: np.ndarray) -> None:
        self.residual = log_ms - view.mean
        self.kernel = _Kernel(view, view)

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        amplitudes, noise = np.exp(parameters[:_LENGTH]), np.exp(parameters[_NOISE])
        parts = self.kernel.parts(parameters)
        covariance = _LEVEL_VARIANCE + sum(amplitude * part for amplitude, part in zip(amplitudes, parts))
        covariance[np.diag_indices(len(covariance))] += noise + _JITTER
        lower = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        inverse = scipy.linalg.cho_solve((lower, True), np.eye(len(lower)), check_finite=False)
        weights = inverse @ self.residual
        off = (parameters - _CENTRE) / _SPREAD
        value = 0.5 * self.residual @ weights + np.log(np.diag(lower)).sum() + 0.5 * off @ off
        pull = 0.5 * (inverse - np.outer(weights, weights))
        smooth = _PARTS.index("smooth")
        squared = self.kernel.squared / np.exp(2 * parameters[_LENGTH])
        by_length = amplitudes[smooth] * np.vdot(pull, parts[smooth] * squared)
        by_part = [amplitude * np.vdot(pull, part) for amplitude, part in zip(amplitudes, parts)]
        return float(value), np.array([*by_part, by_length, noise * np.trace(pull)]) + off / _SPREAD


class _Learned(NamedTuple):
    devices: int
    known: _Known
    view: _View
    hypotheses: np.ndarray
    strange: np.ndarray


class _Fitted(NamedTuple):
    view: _View
    level: float
    terms: list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]  # weight, parameters, Cholesky factor, K^-1 y


@dataclass(kw_only=True)
class DeviceTransfer:
    """A predictor of latency in ms that knows other devices.

    Its features are the latencies of D known devices, in ms, followed by features of the architecture, which may be
    missing. Call order: `learn` with all rows of the table; `choose`, if the architectures to measure can be chosen;
    `fit` with the rows that were measured; `predict`. The mean is the median of the predicted latency; the standard
    deviation is that of a new measurement, noise included.

    Attributes:
        components: Principal components of the known devices that a new device may follow in a curve.
        learning_rows: Rows that variances are learned from, drawn from all.
        iterations: Steps of the maximisation of each hypothesis.
        candidates: Rows, drawn from all, among which those to measure are chosen.
        seed: Seed of the draw of `learning_rows`.
    """

    components: int = 6
    learning_rows: int = 80
    iterations: int = 30
    candidates: int = 300
    seed: int = 0
    _learned: _Learned | None = field(default=None, init=False, repr=False, compare=False)
    _fitted: _Fitted | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("components", "learning_rows", "iterations", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")

    def learn(self, features: np.ndarray, devices: int, measured: np.ndarray | None = None) -> Self:
        """Learn what devices are like from features [N, D + F]; the first `devices` columns are latencies in ms.

        Args:
            features: Features of all architectures.
            devices: Number of known devices.
            measured: Which latencies [N, D] were measured and not filled in; by default all. What one device says about
                another, and its noise, are learned from measurements only.

        Raises:
            ValueError: Fewer than two devices or three rows, or a latency that is not a positive number.
        """
        x = feature_rows(features)
        if not MIN_DEVICES <= devices <= x.shape[1]:
            raise ValueError(f"devices must be from {MIN_DEVICES} to the {x.shape[1]} columns there are, got {devices}")
        log_ms, described = _logarithms(x, devices), x[:, devices:]
        training_data(x, log_ms[:, 0])
        known = _Known.of(log_ms, described, self.components)
        order = np.random.default_rng(self.seed).permutation(len(x))
        alike, strange = [], [_STRANGE] if described.shape[1] else []
        for device in range(devices):
            rows = order if measured is None else order[measured[order, device]]
            likelihood = _left_out(log_ms, described, device, rows[: self.learning_rows], self.components)
            alike.append(self._likeliest(likelihood))
            if described.shape[1]:
                strange.append(self._likeliest(likelihood, absent=_OF_OTHERS))
        self._learned = _Learned(devices, known, known.view(log_ms, described), _stacked(alike), _stacked(strange))
        self._fitted = None
        return self

    def choose(self, count: int, generator: np.random.Generator, among: np.ndarray | None = None) -> np.ndarray:
        """Return rows [count], of `among` if given, that are worth measuring, the most informative first.

        Each one is that of the drawn candidates whose measurement would most reduce the expected variance of all of
        them, on average over the hypotheses; this needs no measurement of the new device.

        Raises:
            ValueError: More rows than there are.
            RuntimeError: Nothing was learned yet.
        """
        learned = _known_devices(self._learned)
        rows = np.arange(len(learned.view.mean)) if among is None else np.asarray(among)
        if not 1 <= count <= len(rows):
            raise ValueError(f"count must be from 1 to the {len(rows)} rows there are, got {count}")
        drawn = generator.permutation(rows)[: max(count, self.candidates)]
        view = learned.view.rows(drawn)
        kernel, hypotheses = _Kernel(view, view), learned.hypotheses
        covariances = np.stack([kernel(parameters) for parameters in hypotheses])
        noises = np.exp(hypotheses[:, _NOISE])[:, None]
        chosen: list[int] = []
        for _ in range(count):
            variances = np.einsum("hii->hi", covariances)
            gains = ((covariances**2).sum(1) / (variances + noises)) / variances.sum(1, keepdims=True)
            gain = gains.sum(0)
            gain[chosen] = -1.0
            best = int(gain.argmax())
            chosen.append(best)
            column = covariances[:, :, best]
            covariances = covariances - column[:, :, None] * (column / (variances[:, best, None] + noises))[:, None, :]
        return drawn[chosen]

    def fit(self, features: np.ndarray, targets: np.ndarray) -> Self:
        """Learn the new device from its latencies [N] in ms and features [N, D + F]."""
        learned = _known_devices(self._learned)
        x, latency_ms = training_data(features, targets)
        view = self._view(learned, x)
        if latency_ms.min() <= 0:
            raise ValueError(f"targets: a latency must be above 0 ms, got {latency_ms.min():g}")
        level = float(np.log(latency_ms).mean() - view.mean.mean())
        residual = np.log(latency_ms) - view.mean - level
        hypotheses = _doubted(np.concatenate([learned.hypotheses, learned.strange]))
        kernel = _Kernel(view, view)
        found = [_term(parameters, kernel(parameters), residual) for parameters in hypotheses]
        evidence = np.array([value for value, *_ in found])
        weights = np.exp(evidence - evidence.max())
        weights = np.where(weights < _LEAST_WEIGHT, 0.0, weights)
        weights /= weights.sum()
        terms = [
            (float(weight), parameters, lower, solved)
            for weight, parameters, (_, lower, solved) in zip(weights, hypotheses, found)
            if weight > 0
        ]
        self._fitted = _Fitted(view, level, terms)
        return self

    def predict(self, features: np.ndarray) -> Prediction:
        learned, state = _known_devices(self._learned), fitted(self._fitted)
        x = feature_rows(features, columns=learned.devices + state.view.described.shape[1])
        view = self._view(learned, x)
        parts = [
            _mixture(state, view.rows(np.arange(start, min(start + _BATCH_ROWS, len(x)))))
            for start in range(0, len(x), _BATCH_ROWS)
        ]
        mean, variance = (np.concatenate([np.zeros(0), *(part[i] for part in parts)]) for i in (0, 1))
        latency_ms = np.exp(mean)
        return Prediction(latency_ms, latency_ms * np.sqrt(np.expm1(np.minimum(variance, 50.0))))

    def _view(self, learned: _Learned, x: np.ndarray) -> _View:
        width = learned.devices + learned.view.described.shape[1]
        if x.shape[1] != width:
            raise ValueError(f"features have {x.shape[1]} columns; {width} were learned")
        return learned.known.view(_logarithms(x, learned.devices), x[:, learned.devices :])

    def _likeliest(self, likelihood: _Likelihood, *, absent: Sequence[str] = ()) -> np.ndarray:
        """Return the parameters that explain a device best when some parts are absent."""
        gone = np.isin(np.arange(len(_CENTRE)), [_PARTS.index(name) for name in absent])
        start = np.where(gone, _ABSENT, _CENTRE)
        bounds = list(zip(start - _REACH * ~gone, start + _REACH * ~gone))
        options = {"maxiter": self.iterations}
        return scipy.optimize.minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x


def _left_out(log_ms: np.ndarray, described: np.ndarray, device: int, rows: np.ndarray, components: int) -> _Likelihood:
    """Return how well the other devices explain one, on some rows."""
    others = np.delete(log_ms, device, axis=1)
    view = _Known.of(others, described, components).view(others[rows], described[rows])
    return _Likelihood(view, log_ms[rows, device] - log_ms[rows, device].mean() + view.mean.mean())


def _stacked(hypotheses: Sequence[np.ndarray]) -> np.ndarray:
    return np.array(hypotheses).reshape(-1, len(_CENTRE))


def _doubted(hypotheses: np.ndarray) -> np.ndarray:
    """Return each with less and with more noise."""
    noises = np.log(_NOISE_FACTORS)[:, None] * (np.arange(len(_CENTRE)) == _NOISE)
    return (hypotheses[:, None] + noises).reshape(-1, len(_CENTRE))


def _term(parameters: np.ndarray, covariance: np.ndarray, residual: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the log evidence, Cholesky factor and K^-1 y."""
    covariance[np.diag_indices(len(residual))] += np.exp(parameters[_NOISE]) + _JITTER
    lower = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
    solved = scipy.linalg.cho_solve((lower, True), residual, check_finite=False)
    return float(-0.5 * residual @ solved - np.log(np.diag(lower)).sum()), lower, solved


def _mixture(state: _Fitted, view: _View) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and variance of the logarithm over all hypotheses [M], noise included."""
    mean, square = np.zeros(len(view.mean)), np.zeros(len(view.mean))
    kernel = _Kernel(state.view, view)
    for weight, parameters, lower, solved in state.terms:
        cross = kernel(parameters)
        explained = (scipy.linalg.solve_triangular(lower, cross, lower=True, check_finite=False) ** 2).sum(0)
        variance = np.maximum(_diagonal(parameters, view) - explained, 0.0) + np.exp(parameters[_NOISE])
        centre = state.level + view.mean + solved @ cross
        mean += weight * centre
        square += weight * (variance + (centre - state.level) ** 2)
    return mean, np.maximum(square - (mean - state.level) ** 2, 0.0)


def _diagonal(parameters: np.ndarray, view: _View) -> np.ndarray:
    slope, departures, smooth, linear, one_by_one = np.exp(parameters[:_LENGTH])
    total = _LEVEL_VARIANCE + slope * view.mean**2 + departures * (view.departures**2).sum(1) + smooth
    return total + linear * (view.described**2).sum(1) + (one_by_one if view.described.shape[1] else 0.0)


def _squared(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.maximum((left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T, 0.0)


def _logarithms(x: np.ndarray, devices: int) -> np.ndarray:
    wrong = np.argwhere(x[:, :devices] <= 0)
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(f"a latency must be above 0 ms, got {x[row, column]:g} in row {row}, column {column}")
    return np.log(x[:, :devices])


def _known_devices(learned: _Learned | None) -> _Learned:
    if learned is None:
        raise RuntimeError("learn was not called: the known devices come before the new one")
    return learned
