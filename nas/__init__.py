"""Choosing architectures: objectives, searchers, journals, Pareto fronts, measurements on hardware."""

from nas.archive import hypervolume, pareto_front
from nas.data import DataConfig, load_data
from nas.estimate import Estimate
from nas.hardware.latency import LatencyConfig, measure_latency
from nas.journal import Evaluation, Journal
from nas.objectives import Accuracy, Bound, Cost, Latency, Objective, parse_bound, top1_percent
from nas.retrain import retrain
from nas.search import Problem, SearchConfig, search
from nas.searchers import NSGA2, Random, Searcher
from nas.subnets import Subnets

__all__ = [
    "NSGA2",
    "Accuracy",
    "Bound",
    "Cost",
    "DataConfig",
    "Estimate",
    "Evaluation",
    "Journal",
    "Latency",
    "LatencyConfig",
    "Objective",
    "Problem",
    "Random",
    "SearchConfig",
    "Searcher",
    "Subnets",
    "hypervolume",
    "load_data",
    "measure_latency",
    "pareto_front",
    "parse_bound",
    "retrain",
    "search",
    "top1_percent",
]
