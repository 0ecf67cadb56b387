"""Latency of the extracted subnet, on this machine or on another one."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from torch import nn

from nas.hardware.examples import Example
from nas.hardware.latency import LatencyConfig, Meter
from nas.hardware.measurement import Measurement, MeasurementFailed
from nas.objectives.objective import LEAST_MS, Objective, Role
from search_spaces import Architecture
from supernets.estimate import Estimate


class Latency(Objective):
    """Milliseconds of one forward pass, measured.

    Args:
        subnet: Gives the subnet of an architecture, see `nas.subnets.Subnets`.
        example: Gives what the subnet of an architecture is called with, see `Space.example`.
        config: How to measure.
        alone: Lock that is held while something is measured, so that nothing disturbs it.
    """

    name, unit, maximise = "latency_ms", "ms", False
    role: Role = "cost"
    serial, low = True, LEAST_MS

    def __init__(
        self,
        subnet: Callable[[Architecture], nn.Module],
        example: Callable[[Architecture], Example],
        config: LatencyConfig,
        *,
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.subnet, self.example, self.config, self.alone = subnet, example, config, alone
        self.meter = Meter(config)

    def evaluate(self, architecture: Architecture, fidelity: float = 1.0) -> Estimate:
        return self.evaluate_together([architecture])[0]

    def evaluate_together(self, architectures: list[Architecture], *, rounds: int = 1) -> list[Estimate]:
        """Return the latencies of several architectures that take turns, `rounds` times as long as for one.

        Differences between them are free of the machine's drift.

        Raises:
            MeasurementFailed: One of them has no latency.
        """
        measured = self.measure_together(architectures, rounds=rounds)
        failed = [one for one in measured if isinstance(one, MeasurementFailed)]
        if failed:
            raise failed[0]
        return [one.latency for one in measured if isinstance(one, Measurement)]

    def measure_together(
        self, architectures: list[Architecture], *, rounds: int = 1
    ) -> list[Measurement | MeasurementFailed]:
        """Return the same in full; those that fail do not spoil the others."""
        models = [self.subnet(architecture) for architecture in architectures]
        examples = [self.example(architecture) for architecture in architectures]
        with self.alone():
            return self.meter.measure(models, examples, rounds=rounds)
