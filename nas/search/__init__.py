"""The search itself: ask a searcher, evaluate, tell it, and remember everything in a journal."""

from nas.search.config import SearchConfig
from nas.search.problem import Problem
from nas.search.search import search

__all__ = ["Problem", "SearchConfig", "search"]
