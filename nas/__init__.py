"""Choosing architectures: objectives, searchers, journals, Pareto fronts, measurements on hardware."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from nas.benchmarks.provenance import Provenance
    from nas.benchmarks.published_tables import Table
    from nas.data import DataConfig, load_data
    from nas.hardware.latency import LatencyConfig, measure_latency
    from nas.objectives import Bound, Cost, Latency, Objective, Quality, Tabular, parse_bound, top1_percent
    from nas.predictors import MLP, GaussianProcess, ParZC, Predictor, Ridge
    from nas.retraining import retrain
    from nas.scoring import Scorer
    from nas.scoring_config import ProxyConfig
    from nas.search.config import SearchConfig
    from nas.search.journal import Evaluation, Journal
    from nas.search.pareto import hypervolume, pareto_front
    from nas.search.problem import Problem
    from nas.searchers import NSGA2, AutoScore, Filtered, Random, RegularizedEvolution, Searcher
    from nas.subnets import Subnets
    from supernets.estimate import Estimate

__all__ = [
    "MLP",
    "NSGA2",
    "AutoScore",
    "Bound",
    "Cost",
    "DataConfig",
    "Estimate",
    "Evaluation",
    "Filtered",
    "GaussianProcess",
    "Journal",
    "Latency",
    "LatencyConfig",
    "Objective",
    "ParZC",
    "Predictor",
    "Problem",
    "Provenance",
    "ProxyConfig",
    "Quality",
    "Random",
    "RegularizedEvolution",
    "Ridge",
    "Scorer",
    "SearchConfig",
    "Searcher",
    "Subnets",
    "Table",
    "Tabular",
    "hypervolume",
    "load_data",
    "measure_latency",
    "pareto_front",
    "parse_bound",
    "retrain",
    "top1_percent",
]

__getattr__ = lazy(__name__, __file__)
