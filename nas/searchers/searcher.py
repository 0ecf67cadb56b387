"""The protocol of searchers."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from search_spaces import Architecture


class Searcher(Protocol):
    """A searcher decides which architectures a search evaluates. Searchers are subclasses, which gives them the
    defaults here.

    Call order: `ask` once or more, then `tell` with one or more of the architectures asked for, and so on. Every `ask`
    before the same `tell` proposes anew, from what was told so far; only what is told has happened. A proposal that was
    not told may be asked for again, and may be told later. A searcher is deterministic: with the same arguments, asked
    as often and told the same, it proposes the same. This is how a search is resumed, by replay.

    Attributes:
        fidelity: Share of the data to evaluate the last proposals on.
        expected_gain: Share by which each architecture of the last `ask` is expected to make the hypervolume grow; None
            where that is not known.
        predicts_gain: Whether `expected_gain` is ever known.
        considers_pending: Whether `ask` makes use of `pending`. Such a searcher is told of each architecture as soon as
            it is evaluated. Any other searcher is told together about what it asked for together.
        follows_evaluations: Whether its proposals depend on the number of evaluations of the search. Its constructor
            then takes this number as `evaluations`.
        learns_from_earlier: Whether its constructor takes an earlier search as `warm_start`: architectures and their
            losses [K]. Any other searcher begins with its front.
        derives: Whether it proposes by what the training of the supernet has learned about choices. Its constructor
            then takes this as `learned`.
    """

    fidelity: float = 1.0
    expected_gain: float | None = None
    predicts_gain: bool = False
    considers_pending: bool = False
    follows_evaluations: bool = False
    learns_from_earlier: bool = False
    derives: bool = False

    @abstractmethod
    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        """Propose what to evaluate next; nothing where everything is known.

        An architecture may be asked for again and then costs nothing.

        Args:
            pending: Architectures that are being evaluated; they are told later.
        """
        ...

    @abstractmethod
    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        """Learn the results.

        Args:
            architectures: Those evaluated, N, at least one.
            losses: Objectives to minimise [N, K]; infinite for a candidate that failed.
            violations: How far each candidate is outside the hard limits [N]; 0 for a feasible one.
        """
        ...
