"""The result of measuring a network: numbers with their conditions, or the reason why there are none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.hardware.config import Conditions
from supernets.estimate import Estimate

LEAST_REACH = 0.03
"""A run cannot see how a shared machine changes until the next one: intervals reach at least this share to each
side.
"""

CALM = 0.05
"""The share of the times that counts as undisturbed."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The measured numbers of a network.

    Args:
        latency: Milliseconds of one forward pass, with the 95% interval for the value of another run.
        throughput_per_s: Inputs a second.
        memory_mb: Peak memory in megabytes, where it is known.
        energy_mj: Millijoules of one forward pass, where the machine counts them.
        conditions: Conditions under which the numbers hold.
    """

    latency: Estimate
    throughput_per_s: float
    memory_mb: float | None
    energy_mj: float | None
    conditions: Conditions


class MeasurementFailed(RuntimeError):
    """A network has no latency; the message says why: too slow, not finite, its own error, or too wide an interval."""


def latency_of(visits: Sequence[Sequence[float]]) -> Estimate:
    """Return the latency from the times of several visits, with the 95% interval for the value of another run.

    Other programs never make a network faster. They make it slower even where they leave it the core, because they take
    the caches. So the fastest twentieth of the times is the same in the next run, and the median is not. The distance
    of the best time of a visit from it says how disturbed the machine is. Another run meets another disturbance, which
    averaging over one run does not make smaller: the interval reaches as far to both sides as three quarters of the
    visits are off.

    Args:
        visits: Milliseconds, one sequence for each visit.
    """
    value = float(np.quantile(np.concatenate([np.asarray(times, dtype=float) for times in visits]), CALM))
    best = [min(times) for times in visits] if len(visits) > 1 else visits[0]
    reach = max(LEAST_REACH, math.log(float(np.quantile(best, 0.75)) / value))
    return Estimate(value, value * math.exp(-reach), value * math.exp(reach))


def relative_width(latency: Estimate) -> float:
    """Return the width of the interval as a share of the value."""
    assert latency.low is not None
    assert latency.high is not None
    return (latency.high - latency.low) / latency.value
