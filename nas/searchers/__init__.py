"""Searchers: they decide which architectures a search evaluates.

The searchers of Optuna are in `nas.searchers.optuna_samplers`, so that nothing else needs Optuna.
"""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from nas.searchers.age_moea import AgeMoea
    from nas.searchers.auto_score import AutoScore, cost_scores
    from nas.searchers.conservative import Conservative
    from nas.searchers.derived import Derived
    from nas.searchers.filtered import Filtered, Score
    from nas.searchers.linas import Linas
    from nas.searchers.nsga2 import NSGA2
    from nas.searchers.nsga3 import NSGA3
    from nas.searchers.ofa_evolution import OfaEvolution
    from nas.searchers.per_part import PerPart, violation_within
    from nas.searchers.random import Random
    from nas.searchers.regularized_evolution import RegularizedEvolution
    from nas.searchers.searcher import Searcher

__all__ = [
    "NSGA2",
    "NSGA3",
    "AgeMoea",
    "AutoScore",
    "Conservative",
    "Derived",
    "Filtered",
    "Linas",
    "OfaEvolution",
    "PerPart",
    "Random",
    "RegularizedEvolution",
    "Score",
    "Searcher",
    "cost_scores",
    "violation_within",
]

__getattr__ = lazy(__name__, __file__)
