"""Rules by which a search ends early: little gain expected, or time spent."""

import time
from dataclasses import dataclass, field

_POOR_ASKS = 3  # candidates in a row that promise too little


@dataclass
class Stopping:
    """The rules that end a search before its evaluations are spent.

    Args:
        gain_percent: A search ends where one more candidate is expected to make the hypervolume grow by less; 0 for
            never.
        hours: Hours that a search may take, its interrupted runs included; None for no limit.
    """

    gain_percent: float = 0.0
    hours: float | None = None
    reason: str | None = field(default=None, init=False)
    _began: float = field(default_factory=time.monotonic, init=False)
    _earlier_s: float = field(default=0.0, init=False)
    _poor_asks: int = field(default=0, init=False)

    def remembered(self, seconds: float) -> None:
        """Count the time that an earlier run took for what needs not be evaluated again."""
        self._earlier_s += seconds

    def promised(self, gain: float | None) -> None:
        """Note what the next candidate is expected to gain, as a share; None where that is not known."""
        if gain is None or gain == float("inf"):
            return
        self._poor_asks = self._poor_asks + 1 if 100 * gain < self.gain_percent else 0
        if self._poor_asks >= _POOR_ASKS:
            self.reason = f"one more candidate is expected to gain {100 * gain:.2g} % of hypervolume"

    @property
    def is_due(self) -> bool:
        """Whether to end now; `reason` says why."""
        spent = (self._earlier_s + time.monotonic() - self._began) / 3600
        if self.reason is None and self.hours is not None and spent >= self.hours:
            self.reason = f"{self.hours:g} h are over"
        return self.reason is not None
