"""Search with a model of what was evaluated."""

from nas.searchers.surrogate.searcher import Surrogate

__all__ = ["Surrogate"]
