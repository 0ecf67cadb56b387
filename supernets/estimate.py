"""A number with its uncertainty."""

from dataclasses import dataclass

_WIDTH_IN_ERRORS = 2 * 1.959964  # of a 95% interval of the normal distribution


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% confidence interval; without one the value is exact."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def standard_error(self) -> float:
        """Of the value, in its unit; 0 where it is exact."""
        return 0.0 if self.low is None or self.high is None else (self.high - self.low) / _WIDTH_IN_ERRORS
