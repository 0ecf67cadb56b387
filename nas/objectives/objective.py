"""What is measured of an architecture."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from search_spaces import Architecture
from supernets.estimate import Estimate


class Objective(Protocol):
    """Architecture -> number.

    Attributes:
        name: As in job files, journals and MLflow.
        unit: Of the value, as written behind it.
        maximise: Whether more is better.
    """

    name: str
    unit: str
    maximise: bool

    def evaluate(self, architecture: Architecture) -> Estimate:
        """The value of one architecture; an exception makes the candidate a failed one."""
        ...


class Computed(Objective, Protocol):
    """An objective that needs no network, so that whole generations are computed at once."""

    def evaluate_encodings(self, encodings: np.ndarray) -> np.ndarray:
        """Values [N] of encodings [N, D]."""
        ...


class Predicted(Computed, Protocol):
    """One that is not sure: its values have intervals, and a limit is kept by their far end."""

    def estimate_encodings(self, encodings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Values [N] of encodings [N, D], and the ends of their 95% intervals [N], [N]."""
        ...


@dataclass(frozen=True)
class Bound:
    """A hard limit on an objective: values from `low` to `high`, either of which may be absent."""

    low: float | None = None
    high: float | None = None

    def violation_within(self, low: float, high: float) -> float:
        """How far outside the worse end of an interval lies, relative to the limit; 0 where all of it is inside."""
        return max(self.violation(low), self.violation(high))

    def violation(self, value: float) -> float:
        """How far outside a value lies, relative to the limit; 0 inside."""
        below = 0.0 if self.low is None else max(0.0, (self.low - value) / max(abs(self.low), 1e-12))
        above = 0.0 if self.high is None else max(0.0, (value - self.high) / max(abs(self.high), 1e-12))
        return max(below, above)


def parse_bound(text: str) -> Bound:
    """The bound that a job file writes as ``<= 5e6``, ``>= 60`` or both, joined by a comma.

    Raises:
        ValueError: It is not of that form.
    """
    low = high = None
    for part in str(text).split(","):
        operator, number = part.strip()[:2], part.strip()[2:]
        try:
            value = float(number)
        except ValueError:
            operator = ""
        if operator == "<=" and high is None:
            high = value
        elif operator == ">=" and low is None:
            low = value
        else:
            raise ValueError(f"a constraint is written '<= number' or '>= number' (or both with a comma), got {text!r}")
    if low is not None and high is not None and low > high:
        raise ValueError(f"no value is both >= {low:g} and <= {high:g}")
    return Bound(low, high)


def describe(objective: Objective, bound: Bound | None) -> dict[str, Any]:
    """An objective as journals and reports write it."""
    limits = [bound.low, bound.high] if bound else [None, None]
    return {"name": objective.name, "unit": objective.unit, "maximise": objective.maximise, "bound": limits}
