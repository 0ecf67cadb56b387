"""Latency without running a network: predicted from a table of measured blocks, or computed for a device from its data
sheet.
"""

import numpy as np

from nas.hardware.latency_table import LatencyTable, works
from nas.hardware.roofline import AnalyticDevice
from nas.objectives.objective import LEAST_MS, Computed, Predicted, Role
from search_spaces import Architecture, Space
from supernets.estimate import Estimate


class PredictedLatency(Predicted):
    """Milliseconds of one forward pass, predicted with an interval.

    Args:
        table: Table of the space of the search.
    """

    name, unit, maximise = "latency_ms", "ms", False
    role: Role = "cost"
    low = LEAST_MS

    def __init__(self, table: LatencyTable) -> None:
        self.table = table

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return self.table.estimate(architecture)

    def evaluate_encodings(self, encodings: np.ndarray) -> np.ndarray:
        """Return predictions [N] of encodings [N, D]."""
        return self.table.predict(encodings)[0]

    def estimate_encodings(self, encodings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return predictions [N] of encodings [N, D], and the ends of their 95% intervals [N], [N]."""
        return self.table.predict(encodings)


class Roofline(Computed):
    """Milliseconds of one forward pass by a roofline model; nothing was measured for it.

    Args:
        space: Space that says what blocks its networks are made of.
        device: Device with the numbers of its data sheet.
        batch_size: Inputs of one forward pass.
    """

    name, unit, maximise = "roofline_ms", "ms (analytic)", False
    role: Role = "cost"
    low = LEAST_MS

    def __init__(self, space: Space, device: AnalyticDevice, batch_size: int = 1) -> None:
        self.space = space
        self._block_ms = device.block_ms(works(space), batch_size)[:, None]

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return Estimate(float(self.evaluate_encodings(self.space.encode(architecture)[None])[0]))

    def evaluate_encodings(self, encodings: np.ndarray) -> np.ndarray:
        """Return times [N] in ms of encodings [N, D]."""
        return self.space.blocks.totals(self._block_ms, encodings)[:, 0]
