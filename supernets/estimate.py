"""A number with its uncertainty."""

from dataclasses import dataclass

from search_spaces.errors import WrongResult

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


def checked(given: object, giver: object) -> Estimate:
    """Return what a task or an objective has given, if that is an estimate.

    Raises:
        WrongResult: It is something else.
    """
    if not isinstance(given, Estimate):
        name, wanted = type(giver).__name__, "must return an Estimate, such as supernets.estimate.Estimate(0.5)"
        raise WrongResult(f"{name}.evaluate {wanted}, got {type(given).__name__}")
    return given
