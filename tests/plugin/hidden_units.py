"""An objective with limits that are kept before anything is evaluated: the hidden units of a network."""

import numpy as np

from nas.objectives import Computed, Estimate
from search_spaces import Architecture, Space


class HiddenUnits(Computed):
    """Number of hidden units that run, exactly computed.

    Args:
        space: One of `tests.plugin.elastic_mlp`.
    """

    name, unit, maximise, role = "hidden_units", "units", False, "cost"

    def __init__(self, space: Space) -> None:
        self.space = space
        self.low, self.high = (self.evaluate(a).value for a in (space.smallest(), space.largest()))

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return Estimate(float(self.evaluate_encodings(self.space.encode(architecture)[None])[0]))

    def evaluate_encodings(self, encodings: np.ndarray) -> np.ndarray:
        architectures = [self.space.decode(encoding) for encoding in encodings]
        return np.array([sum(v for name, v in a.items() if name.endswith(".width")) for a in architectures], float)
