"""Objectives of an architecture: quality, exact cost, latency; measured, computed, predicted or looked up."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from nas.objectives.cost import Cost, costs_of
    from nas.objectives.end_to_end import EndToEnd
    from nas.objectives.latency import Latency
    from nas.objectives.limits import parse_bound
    from nas.objectives.objective import Bound, Computed, Objective, Predicted, Role, Source, describe
    from nas.objectives.predicted_latency import PredictedLatency, Roofline
    from nas.objectives.quality import Quality
    from nas.objectives.tabular import Tabular
    from supernets.estimate import Estimate
    from supernets.tasks.classification import top1_percent

__all__ = [
    "Bound",
    "Computed",
    "Cost",
    "EndToEnd",
    "Estimate",
    "Latency",
    "Objective",
    "Predicted",
    "PredictedLatency",
    "Quality",
    "Role",
    "Roofline",
    "Source",
    "Tabular",
    "costs_of",
    "describe",
    "parse_bound",
    "top1_percent",
]

__getattr__ = lazy(__name__, __file__)
