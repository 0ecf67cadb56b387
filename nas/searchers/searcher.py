"""The protocol of searchers."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from search_spaces import Architecture


class Searcher(Protocol):
    """Decides which architectures a search evaluates.

    Call order: `ask` once or more, then `tell` with one or more of the architectures asked for, and so on. Every `ask`
    before the same `tell` proposes anew, from what was told so far; what of it is told is all that happened. What was
    asked for and not told may be asked for again, and may be told later. A searcher is deterministic: made with the
    same arguments, asked as often and told the same, it asks the same. That is how a search is resumed, by replay.
    """

    def ask(self) -> list[Architecture]:
        """What to evaluate next, nothing where all is known; an architecture may be asked for again and then costs
        nothing."""
        ...

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        """What came out.

        Args:
            architectures: Those evaluated, N, at least one.
            losses: Objectives to minimise [N, K]; infinite for a candidate that failed.
            violations: How far each candidate is outside the hard limits [N]; 0 for a feasible one.
        """
        ...
