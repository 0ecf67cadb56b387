"""Latency of a transformer as measured ones of similar features predict it.

Paper: Wang et al., HAT, arXiv 2005.14187, section 3.2: ten features of a network give its latency on a device.
Differs: boosted trees on the logarithm of the latency instead of a perceptron, and an interval: the relative error that
95 % of the networks have that the predictor was not fitted to.
"""

import numpy as np

from nas.benchmarks.hat_latencies import HatLatencies, Part
from nas.objectives.objective import LEAST_MS, Predicted, Role
from nas.predictors import Predictor
from nas.predictors.local_models import BoostedTrees
from search_spaces import Architecture, Space
from search_spaces.families.hat_genes import features_of
from supernets.estimate import Estimate

_HELD_OUT, _COVERED = 0.2, 0.95


class HatLatency(Predicted):
    """Milliseconds on the device of a table, predicted with an interval.

    Args:
        space: Space of transformers with encoder and decoder.
        measured: Networks that were measured.
        part: What takes the time: `encoder`, `decoder`, or `both`.
        name: Name of the objective; by default that of the part, such as `decoder_ms`.
        predictor: Learns the logarithm of the latency from the features; boosted trees by default.
        seed: Seed of which rows are held out for the interval.

    Raises:
        ValueError: The space is none of HAT's.
    """

    unit, maximise = "ms", False
    role: Role = "cost"
    low = LEAST_MS

    def __init__(
        self,
        space: Space,
        measured: HatLatencies,
        *,
        part: Part = "decoder",
        name: str | None = None,
        predictor: Predictor | None = None,
        seed: int = 0,
    ) -> None:
        self.space, self.name = space, name or f"{part}_ms"
        features_of(space.decisions, space.encode(space.smallest())[None])
        order = np.random.default_rng(seed).permutation(len(measured.features))
        rest, fitted = np.split(order, [max(1, int(_HELD_OUT * len(order)))])
        logarithms = np.log(measured.milliseconds(part))
        self.predictor = (predictor or BoostedTrees()).fit(measured.features[fitted], logarithms[fitted])
        missed = np.abs(self.predictor.predict(measured.features[rest]).mean - logarithms[rest])
        self.margin = float(np.quantile(missed, _COVERED, method="higher"))

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        value, low, high = self.estimate_encodings(self.space.encode(architecture)[None])
        return Estimate(float(value[0]), float(low[0]), float(high[0]))

    def evaluate_encodings(self, encodings: np.ndarray) -> np.ndarray:
        """Return predictions [N] of encodings [N, D]."""
        return self.estimate_encodings(encodings)[0]

    def estimate_encodings(self, encodings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return predictions [N] of encodings [N, D], and the ends of their 95% intervals [N], [N]."""
        logarithms = self.predictor.predict(features_of(self.space.decisions, encodings)).mean
        value, low, high = (np.exp(logarithms + away) for away in (0.0, -self.margin, self.margin))
        return value, low, high
