"""The protocol of objectives."""

from abc import abstractmethod
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, Protocol, TypeGuard

import numpy as np

from search_spaces import Architecture
from supernets.estimate import Estimate

LEAST_MS = 1e-9  # a network takes more than no time
Role = Literal["quality", "cost"]
Source = Literal["measured", "computed", "predicted"]


class Objective(Protocol):
    """A function from an architecture to a number. Objectives are subclasses, which gives them the defaults here.

    Callers find an objective by role and source, never by its name.

    Attributes:
        name: Name in job files, journals and MLflow.
        unit: Unit of the value, as written behind it.
        maximise: Whether more is better.
        role: `quality`: what a network is trained for, or a substitute for it; or `cost`: what it takes to use the
            network.
        source: `measured`, on a network, which takes time; `computed` exactly from the architecture, see `Computed`;
            `predicted` from it with an interval, see `Predicted`.
        uses_fidelity: Whether a fidelity below 1 makes a difference.
        serial: Whether the search itself measures it, one candidate after the other, also where several processes
            evaluate the rest: for example because it needs the machine for itself.
        low: The least value that any architecture can have, and
        high: the largest. A limit that no value between them keeps is refused before anything is evaluated.
    """

    name: str
    unit: str
    maximise: bool
    role: Role
    source: Source = "measured"
    uses_fidelity: bool = False
    serial: bool = False
    low: float = -inf
    high: float = inf

    @abstractmethod
    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        """Return the value of one architecture; an exception makes the candidate a failed one.

        Args:
            architecture: Architecture of the space that is searched.
            fidelity: Share of the data to evaluate on, the same part at every call.
        """
        ...


class Computed(Objective, Protocol):
    """An objective that needs no network, so that whole generations are computed at once.

    A limit on it is kept before anything is evaluated.
    """

    source: Source = "computed"

    @abstractmethod
    def evaluate_encodings(self, encodings: np.ndarray) -> np.ndarray:
        """Return the values [N] of encodings [N, D]."""
        ...


class Predicted(Computed, Protocol):
    """An objective whose values have intervals; a limit is kept by their far end."""

    source: Source = "predicted"

    def estimate_encodings(self, encodings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the values [N] of encodings [N, D], and the ends of their 95% intervals [N], [N]."""
        ...


def is_computed(objective: Objective) -> TypeGuard[Computed]:
    """Return whether the values are computed exactly from the architecture alone."""
    return objective.source == "computed"


def is_predicted(objective: Objective) -> TypeGuard[Predicted]:
    """Return whether the values are predicted from the architecture alone."""
    return objective.source == "predicted"


def is_measured(objective: Objective) -> bool:
    """Return whether the values are measured on a network."""
    return objective.source == "measured"


@dataclass(frozen=True)
class Bound:
    """A hard limit on an objective: values from `low` to `high`, either of which may be absent."""

    low: float | None = None
    high: float | None = None

    def violation_within(self, low: float, high: float) -> float:
        """Return how far outside the worse end of an interval is, relative to the limit; 0 if all of it is inside."""
        return max(self.violation(low), self.violation(high))

    def violation(self, value: float) -> float:
        """Return how far outside a value lies, relative to the limit; 0 inside."""
        below = 0.0 if self.low is None else max(0.0, (self.low - value) / max(abs(self.low), 1e-12))
        above = 0.0 if self.high is None else max(0.0, (value - self.high) / max(abs(self.high), 1e-12))
        return max(below, above)


def describe(objective: Objective, bound: Bound | None) -> dict[str, Any]:
    """Return an objective as journals and reports write it."""
    return {
        "name": objective.name,
        "unit": objective.unit,
        "maximise": objective.maximise,
        "role": objective.role,
        "source": objective.source,
        "bound": [bound.low, bound.high] if bound else [None, None],
    }
