"""The search itself: ask a searcher, evaluate, tell it, and remember everything in a journal."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from nas.search.config import SearchConfig
    from nas.search.loop import search
    from nas.search.problem import Problem

__all__ = ["Problem", "SearchConfig", "search"]

__getattr__ = lazy(__name__, __file__)
