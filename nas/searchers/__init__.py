"""Which architectures a search evaluates."""

from nas.searchers.auto_score import AutoScore, cost_scores
from nas.searchers.filtered import Filtered, Score
from nas.searchers.nsga2 import NSGA2
from nas.searchers.per_part import PerPart, violation_within
from nas.searchers.random import Random
from nas.searchers.regularized_evolution import RegularizedEvolution
from nas.searchers.searcher import Searcher

__all__ = [
    "NSGA2",
    "AutoScore",
    "Filtered",
    "PerPart",
    "Random",
    "RegularizedEvolution",
    "Score",
    "Searcher",
    "cost_scores",
    "violation_within",
]
