"""Search with a model of what was evaluated."""

from nas.searchers.surrogate.surrogate import Surrogate

__all__ = ["Surrogate"]
