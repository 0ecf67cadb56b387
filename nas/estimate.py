"""A number with its uncertainty."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% confidence interval; without one the value is exact."""

    value: float
    low: float | None = None
    high: float | None = None
