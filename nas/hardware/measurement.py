"""What measuring a network gives: numbers with their conditions, or the reason why there are none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from nas.estimate import Estimate
from nas.hardware.config import Conditions

LEAST_REACH = 0.02
"""No run sees how a shared machine changes until the next: no interval is narrower than this share to each side."""

_MAD_OF_FEW = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
"""The median absolute deviation of few numbers is too small by these factors (Croux and Rousseeuw, 1992)."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A network in numbers.

    Args:
        latency: Milliseconds of one forward pass, with the 95% interval for the value of another run.
        throughput_per_s: Images a second.
        memory_mb: Peak memory in megabytes, where it is known.
        energy_mj: Millijoules of one forward pass, where the machine counts them.
        conditions: What the numbers hold for.
    """

    latency: Estimate
    throughput_per_s: float
    memory_mb: float | None
    energy_mj: float | None
    conditions: Conditions


class MeasurementFailed(RuntimeError):
    """A network has no latency; says why: too slow, not finite, its own error, or an interval that stays too wide."""


def latency_of(visits: Sequence[Sequence[float]]) -> Estimate:
    """Latency from the times of several visits, with the 95% interval for the value of another run.

    The lower quartile of a visit is what the network takes when little disturbs it; the median over the visits is the
    latency. Visits lie apart in time, so that their spread shows how the machine drifts; the interval holds all of that
    spread instead of the part that averaging leaves, because another run meets another moment of the drift.

    Args:
        visits: Milliseconds, one sequence a visit.
    """
    logs = np.array([math.log(np.quantile(times, 0.25)) for times in visits])
    n, centre = len(logs), float(np.median(logs))
    if n < 2:
        low, high = np.log(np.min(visits[0])), np.log(np.quantile(visits[0], 0.75))
        reach = max(LEAST_REACH, centre - low, high - centre)
    else:
        factor = _MAD_OF_FEW.get(n, n / (n - 0.8))
        spread = 1.4826 * factor * float(np.median(np.abs(logs - centre)))
        reach = max(LEAST_REACH, float(student.ppf(0.975, n - 1)) * spread * math.sqrt(1 + math.pi / 2 / n))
    return Estimate(math.exp(centre), math.exp(centre - reach), math.exp(centre + reach))


def relative_width(latency: Estimate) -> float:
    """Width of the interval as a share of the value."""
    assert latency.low is not None
    assert latency.high is not None
    return (latency.high - latency.low) / latency.value
