"""Whether captured passes pay off, found by a short trial at the start of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

_IGNORED = 10
_TIMED = 20
_LONGEST_FILLING = 200
_FULL = 0.95
_LEAST_GAIN = 0.95


@dataclass
class Trial:
    """A comparison of steps with and without captured passes, by their median times.

    The first steps are ignored, and those in which passes are recorded as well. Steps that are captured in part count.

    Call order: `captures` and `is_timed` before a step, `note` after it.

    Attributes:
        verdict: Whether passes are captured from now on; None until that is known.
    """

    verdict: bool | None = None
    _steps: int = 0
    _filling: int = 0
    _shares: list[float] = field(default_factory=list)
    _plain: list[float] = field(default_factory=list)
    _captured: list[float] = field(default_factory=list)

    @property
    def captures(self) -> bool:
        """Whether the next step captures."""
        return len(self._plain) >= _TIMED if self.verdict is None else self.verdict

    @property
    def is_timed(self) -> bool:
        """Whether the next step is timed, from and to moments at which the device has nothing to do."""
        return self.verdict is None and self._steps >= _IGNORED and (not self.captures or self._is_full)

    @property
    def _is_full(self) -> bool:
        """Whether most of what comes is recorded, or enough was tried."""
        last = self._shares[-_TIMED:]
        return self._filling >= _LONGEST_FILLING or (len(last) == _TIMED and sum(last) / _TIMED >= _FULL)

    def note(self, seconds: float | None, share: float) -> None:
        """Take the time of a step, where it was timed, and the share of its calls that were replayed."""
        if self.verdict is not None:
            return
        if seconds is not None:
            (self._captured if self.captures else self._plain).append(seconds)
            if len(self._captured) >= _TIMED:
                self.verdict = self.captured_s < _LEAST_GAIN * self.plain_s
        elif self.captures:
            self._filling += 1
            self._shares.append(share)
        self._steps += 1

    @property
    def plain_s(self) -> float:
        """Median seconds of a step without captured passes."""
        return median(self._plain)

    @property
    def captured_s(self) -> float:
        """Median seconds of a step with captured passes."""
        return median(self._captured)
