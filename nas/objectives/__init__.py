"""What is measured of an architecture: accuracy, exact cost, latency."""

from nas.estimate import Estimate
from nas.objectives.accuracy import Accuracy, top1_percent
from nas.objectives.cost import Cost
from nas.objectives.latency import Latency
from nas.objectives.objective import Bound, Objective, describe, parse_bound

__all__ = ["Accuracy", "Bound", "Cost", "Estimate", "Latency", "Objective", "describe", "parse_bound", "top1_percent"]
