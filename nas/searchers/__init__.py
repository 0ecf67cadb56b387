"""Which architectures a search evaluates."""

from nas.searchers.nsga2 import NSGA2
from nas.searchers.random import Random
from nas.searchers.searcher import Searcher

__all__ = ["NSGA2", "Random", "Searcher"]
