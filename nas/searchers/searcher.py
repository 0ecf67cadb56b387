"""The protocol of searchers."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from search_spaces import Architecture


class Searcher(Protocol):
    """Decides which architectures a search evaluates.

    Call order: `ask`, then `tell` with exactly the architectures asked for, and so on. A searcher is deterministic:
    made with the same arguments and told the same, it asks the same. That is how a search is resumed, by replay.
    """

    def ask(self) -> list[Architecture]:
        """What to evaluate next; an architecture may be asked for again and then costs nothing."""
        ...

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        """What came out.

        Args:
            architectures: As asked for, N.
            losses: Objectives to minimise [N, K]; infinite for a candidate that failed.
            violations: How far each candidate is outside the hard limits [N]; 0 for a feasible one.
        """
        ...
