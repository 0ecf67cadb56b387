"""Which of several supernets suits which architecture, with equally many architectures for each supernet.

Paper: Javan et al., Balanced Mixture of SuperNets, AutoML-Conf 2023 (PMLR v224), section 3: probabilities in proportion
to exp(accuracy / temperature), made balanced by iterative proportional fitting.
Differs: fitting goes on until it has converged, from the factors that it found last; the released code stops after the
first passes. Probabilities of the supernets for an architecture add up to 1, unlike in the formula as it is printed.
"""

from dataclasses import dataclass, field

import numpy as np

_TOLERANCE = 1e-6  # largest part by which the load of a supernet may differ from an equal one
_ROUNDS = 1000


@dataclass(eq=False)
class Assignment:
    """What is known of C architectures in M supernets, and the probabilities that follow.

    Args:
        accuracies: Running averages of accuracies [C, M], from 0 to 1.
        sharpness: The inverse of the temperature.

    Attributes:
        factors: Logarithms [M] of what balances the columns.
    """

    accuracies: np.ndarray
    sharpness: float = 1.0
    factors: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.factors = np.zeros(self.accuracies.shape[1])

    @classmethod
    def fresh(cls, architectures: int, members: int) -> "Assignment":
        """Return that of which nothing is known: every supernet may be perfect for every architecture."""
        return cls(np.ones((architectures, members)))

    def probabilities(self) -> np.ndarray:
        """Return the probabilities [C, M] of supernets for each architecture; the columns have equal sums."""
        members = len(self.factors)
        for _ in range(_ROUNDS):
            found = self._rows()
            loads = np.maximum(found.mean(0), np.finfo(float).tiny)
            if abs(loads * members - 1).max() < _TOLERANCE:
                break
            self.factors = self.factors - np.log(loads * members)
        return found

    def _rows(self) -> np.ndarray:
        logits = self.sharpness * self.accuracies + self.factors
        weights = np.exp(logits - logits.max(1, keepdims=True))
        return weights / weights.sum(1, keepdims=True)

    def best(self) -> np.ndarray:
        """Return the most probable supernet of each architecture [C]; the factors stay as they are."""
        factors = self.factors
        try:
            return self.probabilities().argmax(1)
        finally:
            self.factors = factors  # a training that goes on here must fit from where it stopped

    def observe(self, architecture: int, member: int, accuracy: float, *, memory: float) -> None:
        """Let an accuracy count for what was measured.

        Args:
            architecture: Its row.
            member: Number of the supernet.
            accuracy: From 0 to 1.
            memory: Weight of what was known before.
        """
        known = self.accuracies[architecture, member]
        self.accuracies[architecture, member] = memory * known + (1 - memory) * accuracy
