"""A number with its uncertainty."""

from dataclasses import dataclass

import numpy as np

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


def student_half(values: np.ndarray) -> np.ndarray:
    """Half of Student's 95% interval [...] of the mean over the first axis of values [S, ...], S at least 2."""
    from scipy.special import stdtrit  # takes long to import

    return stdtrit(len(values) - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
